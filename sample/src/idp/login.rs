//! Logging in by a browser: OpenID Connect's code flow with PKCE, where everybody says who they are by a button.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{Form, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Algorithm, PEOPLE, State, TTL};
use crate::clock::unix_seconds;

/// The client that Portcullis's console is.
pub const CONSOLE: &str = "portcullis-console";

/// Codes that nobody has fetched the token for yet.
#[derive(Debug, Default)]
pub struct Codes(parking_lot::Mutex<HashMap<String, Code>>);

/// More than this many are not kept: whoever asks for more is not logging in.
const MOST: usize = 1_000;

#[derive(Debug)]
struct Code {
    claims: Value,
    challenge: String,
    redirect_uri: String,
}

#[derive(Deserialize)]
pub struct Asked {
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    /// The button that was pressed.
    person: Option<String>,
}

/// `GET /authorize`: a button for everybody, then the way back with a code.
pub async fn authorize(Extract(state): Extract<Arc<State>>, Query(asked): Query<Asked>) -> Response {
    let Some(back) = local(&asked.redirect_uri).filter(|_| asked.client_id == CONSOLE) else {
        return (StatusCode::BAD_REQUEST, "this client may not send people there\n").into_response();
    };
    if asked.code_challenge_method != "S256" {
        return (StatusCode::BAD_REQUEST, "PKCE with S256 is required\n").into_response();
    }
    match &asked.person {
        None => choice(&asked).into_response(),
        Some(person) => match state.code(person, &asked) {
            Ok(code) => {
                let issuer = state.issuer.read().clone();
                let pairs = [("code", &code), ("state", &asked.state), ("iss", &issuer)];
                let mut back = back;
                back.query_pairs_mut().extend_pairs(pairs);
                Redirect::to(back.as_str()).into_response()
            }
            Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        },
    }
}

#[derive(Deserialize)]
pub struct Redeemed {
    code: String,
    code_verifier: String,
    redirect_uri: String,
}

/// `POST /token`: the id token for a code, once.
pub async fn redeem(Extract(state): Extract<Arc<State>>, Form(form): Form<Redeemed>) -> Response {
    let code = state.codes.0.lock().remove(&form.code);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, form.code_verifier.as_bytes()));
    let fits = |code: &Code| code.challenge == challenge && code.redirect_uri == form.redirect_uri;
    let token = code.filter(fits).and_then(|code| state.sign(Algorithm::Rs256, &code.claims).ok());
    match token {
        Some(token) => {
            Json(json!({"token_type": "Bearer", "access_token": "none", "id_token": token})).into_response()
        }
        None => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response(),
    }
}

impl State {
    fn code(&self, person: &str, asked: &Asked) -> anyhow::Result<String> {
        let mut claims = self.claims(person, CONSOLE, TTL)?;
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("nonce".into(), asked.nonce.as_str().into());
            claims.insert("auth_time".into(), unix_seconds().into());
        }
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random)?;
        let code = URL_SAFE_NO_PAD.encode(random);
        let mut codes = self.codes.0.lock();
        anyhow::ensure!(codes.len() < MOST, "too many codes are waiting");
        let kept = Code {
            claims,
            challenge: asked.code_challenge.clone(),
            redirect_uri: asked.redirect_uri.clone(),
        };
        codes.insert(code.clone(), kept);
        Ok(code)
    }
}

/// A page of this machine: it hands out identities to whoever asks, so they go no further.
fn local(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    (here && url.scheme() == "http").then_some(url)
}

fn choice(asked: &Asked) -> Html<String> {
    let pairs = [
        ("client_id", &asked.client_id),
        ("redirect_uri", &asked.redirect_uri),
        ("state", &asked.state),
        ("nonce", &asked.nonce),
        ("code_challenge", &asked.code_challenge),
        ("code_challenge_method", &asked.code_challenge_method),
    ];
    let hidden = pairs.map(|(name, value)| {
        let value = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        format!("<input type=hidden name={name} value=\"{value}\">")
    });
    let button = |name: &str, groups: &str| {
        format!("<p><button name=person value={name}>{name}</button> {groups}</p>")
    };
    let buttons = PEOPLE.map(|person| button(person.name, &person.groups.join(", ")));
    Html(format!(
        "<!doctype html><meta name=viewport content=\"width=device-width\"><title>Sample identity provider</title>\
         <h1>Who are you?</h1><p>This is a sample: it believes you.</p><form>{}{}</form>",
        hidden.concat(),
        buttons.concat()
    ))
}
