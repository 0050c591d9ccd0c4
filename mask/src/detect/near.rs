//! The words that stand near values, and make them certain.

use std::sync::LazyLock;

use super::custom::Words;
use super::found::{Found, looked_at};
use super::{Detect, Kind};

/// The words for kinds whose form alone says little.
const CARD: &[&str] = &[
    "card",
    "cards",
    "pan",
    "visa",
    "mastercard",
    "amex",
    "discover",
    "credit",
    "debit",
    "maestro",
    "karte",
    "kreditkarte",
    "carte",
    "tarjeta",
];
const IBAN: &[&str] = &["iban", "account", "bank", "konto", "compte", "cuenta"];
const SSN: &[&str] =
    &["ssn", "ssns", "social security", "social_security", "social-security", "socialsecurity"];
const PHONE: &[&str] = &[
    "phone",
    "phones",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "telefon",
    "handy",
    "mobil",
    "téléphone",
    "portable",
    "teléfono",
    "móvil",
];
const IP: &[&str] = &["ip", "ips", "address", "addr", "client", "host", "remote", "peer"];

struct Standard {
    card: Option<Words>,
    iban: Option<Words>,
    ssn: Option<Words>,
    phone: Option<Words>,
    ip: Option<Words>,
}

static STANDARD: LazyLock<Standard> = LazyLock::new(|| {
    let words = |list: &[&str]| Words::new(list.iter().map(|word| (*word).to_owned()).collect()).ok();
    Standard { card: words(CARD), iban: words(IBAN), ssn: words(SSN), phone: words(PHONE), ip: words(IP) }
});

/// The words that make a value of this kind certain for this rule.
pub fn words(detect: &Detect, kind: Option<Kind>) -> Option<&Words> {
    detect.near.as_ref().or_else(|| match kind? {
        Kind::Card => STANDARD.card.as_ref(),
        Kind::Iban => STANDARD.iban.as_ref(),
        Kind::Ssn => STANDARD.ssn.as_ref(),
        Kind::Phone => STANDARD.phone.as_ref(),
        Kind::Ip => STANDARD.ip.as_ref(),
        Kind::PrivateKey | Kind::ApiKey | Kind::Jwt | Kind::Email => None,
    })
}

/// Whether one of the words stands within `within` bytes of a value, or is a part of the name that the text has.
pub fn stand_near(words: &Words, within: usize, text: &[u8], found: &Found, name: &[u8]) -> bool {
    let ahead = text.get(found.start.saturating_sub(within)..found.start).unwrap_or_default();
    let behind = text.get(found.end..(found.end + within).min(text.len())).unwrap_or_default();
    looked_at(ahead.len() + behind.len() + name.len());
    words.stand_in(ahead) || words.stand_in(behind) || words.are_part_of(name)
}
