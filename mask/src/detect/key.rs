//! Secrets that say themselves what they are: tokens, API keys, private keys.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::found::{AHEAD, Confidence, Found, Tail, before, is_word, run};

/// What a literal announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    Jwt,
    PrivateKey,
    ApiKey,
}

/// How a kind of key is written.
#[derive(Debug)]
struct Kind {
    prefix: &'static str,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// Exactly so many letters and digits.
    Exact(usize),
    /// So many letters, digits, `_` and `-`, or more.
    Word(usize),
    /// The same with `.` and `=`.
    Token(usize),
    /// Letters and digits, of which the last six are a CRC-32 of the others.
    Checked(usize),
    /// A name: behind it, quotes, colons, spaces and `=`, the key follows, of so many Base64 characters or more.
    Named(usize),
    /// Bytes of any kind that keys and their paths have, so many or more.
    Path(usize),
    Jwt,
    Pem,
    /// The middle of a key: what is before it belongs to it.
    AzureClient,
}

use Form::{AzureClient, Checked, Exact, Jwt, Named, Path, Pem, Token, Word};

const fn kind(prefix: &'static str, form: Form) -> Kind {
    Kind { prefix, form }
}

/// The literals, which are searched for together.
static KINDS: [Kind; 85] = [
    kind("eyJ", Jwt),
    kind("-----BEGIN ", Pem),
    // Amazon Web Services.
    kind("AKIA", Exact(16)),
    kind("ASIA", Exact(16)),
    kind("ABIA", Exact(16)),
    kind("ACCA", Exact(16)),
    kind("ABSK", Token(100)),
    kind("aws_secret_access_key", Named(40)),
    kind("AWS_SECRET_ACCESS_KEY", Named(40)),
    kind("SecretAccessKey", Named(40)),
    kind("secretAccessKey", Named(40)),
    kind("aws_session_token", Named(40)),
    kind("AWS_SESSION_TOKEN", Named(40)),
    // Google.
    kind("AIza", Word(35)),
    kind("GOCSPX-", Word(20)),
    kind("ya29.", Token(20)),
    // Microsoft Azure.
    kind("AccountKey", Named(40)),
    kind("SharedAccessKey", Named(40)),
    kind("7Q~", AzureClient),
    kind("8Q~", AzureClient),
    // GitHub.
    kind("ghp_", Checked(36)),
    kind("gho_", Checked(36)),
    kind("ghu_", Checked(36)),
    kind("ghs_", Checked(36)),
    kind("ghr_", Checked(36)),
    kind("github_pat_", Word(40)),
    // GitLab.
    kind("glpat-", Token(20)),
    kind("gldt-", Word(20)),
    kind("glrt-", Token(20)),
    kind("glft-", Word(20)),
    kind("glsoat-", Word(20)),
    kind("glptt-", Word(20)),
    kind("glcbt-", Word(20)),
    kind("glimt-", Word(20)),
    kind("glagent-", Word(20)),
    kind("GR1348941", Word(20)),
    // Slack.
    kind("xoxb-", Word(10)),
    kind("xoxp-", Word(10)),
    kind("xoxa-", Word(10)),
    kind("xoxr-", Word(10)),
    kind("xoxs-", Word(10)),
    kind("xoxe-", Word(10)),
    kind("xoxc-", Word(10)),
    kind("xoxd-", Path(10)),
    kind("xoxe.", Token(10)),
    kind("xapp-", Word(10)),
    kind("hooks.slack.com/services/", Path(20)),
    kind("hooks.slack.com/workflows/", Path(20)),
    // Stripe.
    kind("sk_live_", Word(16)),
    kind("sk_test_", Word(16)),
    kind("rk_live_", Word(16)),
    kind("rk_test_", Word(16)),
    kind("whsec_", Path(20)),
    // Registries of packages and images.
    kind("npm_", Checked(36)),
    kind("pypi-AgE", Word(40)),
    kind("dckr_pat_", Word(20)),
    kind("dckr_oat_", Word(20)),
    kind("rubygems_", Word(32)),
    kind("oy2", Exact(43)),
    // Models.
    kind("sk-ant-", Word(20)),
    kind("sk-proj-", Word(20)),
    kind("sk-svcacct-", Word(20)),
    kind("hf_", Word(30)),
    kind("gsk_", Word(40)),
    // Clouds, infrastructure and services.
    kind("dop_v1_", Word(40)),
    kind("doo_v1_", Word(40)),
    kind("hvs.", Token(24)),
    kind("hvb.", Token(24)),
    kind("atlasv1.", Token(40)),
    kind("ATATT3", Token(40)),
    kind("ATCTT3", Token(40)),
    kind("dapi", Exact(32)),
    kind("shpat_", Word(32)),
    kind("shpss_", Word(32)),
    kind("shpca_", Word(32)),
    kind("SG.", Token(40)),
    kind("PMAK-", Word(30)),
    kind("NRAK-", Word(20)),
    kind("lin_api_", Word(30)),
    kind("glsa_", Word(32)),
    kind("glc_", Token(32)),
    kind("ntn_", Word(40)),
    kind("tskey-", Word(20)),
    kind("fly_", Token(40)),
    kind("AGE-SECRET-KEY-1", Word(40)),
];

/// Finds the literals. Of two that begin at one place the first of the list would hide the other; none does.
pub static LITERALS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let prefixes = KINDS.iter().map(|kind| kind.prefix);
    let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(prefixes);
    builder.ok()
});

/// The longest literal.
pub const MAX_LITERAL: usize = 26;

/// What the literal with this number announces.
pub fn secret(number: usize) -> Secret {
    match KINDS.get(number).map(|kind| kind.form) {
        Some(Form::Jwt) => Secret::Jwt,
        Some(Form::Pem) => Secret::PrivateKey,
        _ => Secret::ApiKey,
    }
}

/// The secret that the literal with this number announces, which is at `at`.
pub fn find(text: &[u8], at: usize, number: usize) -> Option<Found> {
    let Kind { prefix, form } = KINDS.get(number)?;
    let from = at + prefix.len();
    let alone = !before(text, at).is_some_and(|byte| byte.is_ascii_alphanumeric());
    match form {
        Form::Pem => pem(text, at, from),
        Form::AzureClient => azure_client(text, at, from),
        Form::Named(least) => named(text, from, *least),
        _ if !alone => None,
        Form::Jwt => jwt(text, at, from),
        Form::Exact(length) => {
            let letters = run(text, from, length + 1, |byte| byte.is_ascii_alphanumeric());
            (letters == *length).then(|| Found::new(at, from + length, Confidence::High))
        }
        Form::Checked(length) => checked(text, at, from, *length),
        Form::Word(least) => tailed(text, at, from, *least, Tail::Word),
        Form::Token(least) => tailed(text, at, from, *least, Tail::Token),
        Form::Path(least) => tailed(text, at, from, *least, Tail::Base64),
    }
}

fn tailed(text: &[u8], start: usize, from: usize, least: usize, tail: Tail) -> Option<Found> {
    let is_long = run(text, from, least, |byte| tail.takes(byte)) == least;
    is_long.then(|| Found { tail: Some(tail), ..Found::new(start, from + least, Confidence::High) })
}

/// A header that is Base64 of `{"`, a dot, and what it is about. A header too long to see its end is taken too.
fn jwt(text: &[u8], start: usize, from: usize) -> Option<Found> {
    const SHORTEST: usize = 12;
    let rest = text.len().saturating_sub(from);
    let header = run(text, from, AHEAD, is_word);
    // The window is full of it: whatever ends it, it ends beyond.
    let endless = header == rest && text.len() >= start + AHEAD;
    let confidence = if endless {
        Confidence::Medium
    } else {
        let dot = from + header;
        (text.get(dot) == Some(&b'.')).then_some(())?;
        let next = text.get(dot + 1..).unwrap_or_default();
        if next.starts_with(b"eyJ") {
            Confidence::High
        } else {
            // An encrypted one; its second part may be empty.
            next.first().is_some_and(|byte| is_word(*byte) || *byte == b'.').then_some(Confidence::Medium)?
        }
    };
    let known = SHORTEST.min(header);
    (header >= SHORTEST)
        .then(|| Found { tail: Some(Tail::Token), ..Found::new(start, from + known, confidence) })
}

/// `-----BEGIN ... PRIVATE KEY-----`.
fn pem(text: &[u8], start: usize, from: usize) -> Option<Found> {
    const LONGEST_LABEL: usize = 64;
    let label = run(text, from, LONGEST_LABEL, |byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let name = text.get(from..from + label)?;
    let is_private = name.ends_with(b"PRIVATE KEY") || name.ends_with(b"PRIVATE KEY BLOCK");
    let end = from + label + 5;
    let is_line = text.get(from + label..end) == Some(b"-----");
    (is_private && is_line)
        .then(|| Found { tail: Some(Tail::Pem), ..Found::new(start, end, Confidence::High) })
}

/// The value after a name of which only secrets are the value; the name stays.
fn named(text: &[u8], from: usize, least: usize) -> Option<Found> {
    let signs = run(text, from, 8, |byte| matches!(byte, b'"' | b'\'' | b':' | b'=' | b' ' | b'\\'));
    let is_assigned = text.get(from..from + signs)?.iter().any(|byte| matches!(byte, b':' | b'='));
    is_assigned.then(|| tailed(text, from + signs, from + signs, least, Tail::Base64)).flatten()
}

/// Three characters, a digit and `Q~`, then 31 to 34 characters.
fn azure_client(text: &[u8], at: usize, from: usize) -> Option<Found> {
    let start = at.checked_sub(3)?;
    let is_part = |byte: u8| is_word(byte) || matches!(byte, b'~' | b'.');
    let begins = text.get(start..at)?.iter().all(|byte| is_part(*byte));
    let in_word = before(text, start).is_some_and(is_part);
    let length = run(text, from, 35, is_part);
    let ends = matches!(length, 31..=34);
    (begins && !in_word && ends).then(|| Found::new(start, from + length, Confidence::High))
}

/// The last six characters are the CRC-32 of those before, in base 62. Where they are not, the form alone speaks for it.
fn checked(text: &[u8], start: usize, from: usize, length: usize) -> Option<Found> {
    let found = tailed(text, start, from, length, Tail::Word)?;
    let key = text.get(from..from + length)?;
    let (random, check) = key.split_at_checked(length.checked_sub(6)?)?;
    let sum = base62(crc32fast::hash(random));
    let confidence = if check == sum { Confidence::High } else { Confidence::Medium };
    Some(Found { confidence, ..found })
}

/// A number in six digits of base 62, which are `0-9A-Za-z`.
fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = [b'0'; 6];
    for slot in text.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        *slot = DIGITS.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    text
}
