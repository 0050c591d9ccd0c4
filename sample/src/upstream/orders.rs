//! The orders of the sample shop. The card numbers are the published test numbers of the card schemes: they pass every
//! checksum, and belong to nobody.

use serde_json::{Value, json};

/// The numbers that must never be seen in a masked response.
pub const CARD_NUMBERS: [&str; 4] =
    ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117"];

const CUSTOMERS: [(&str, &str); 4] = [
    ("Ana Torres", "ana.torres@example.com"),
    ("Bob Keller", "bob.keller@example.com"),
    ("Chloé Martin", "chloe.martin@example.com"),
    ("田中 花子", "hanako.tanaka@example.com"),
];

const AMOUNTS: [f64; 4] = [19.99, 120.0, 700.5, 3.25];

/// All orders of the shop, by ascending id.
pub fn all() -> Vec<Value> {
    (0..CARD_NUMBERS.len()).map(order).collect()
}

/// The order number `sequence`: the same few customers again and again, each with the card of their own.
pub fn order(sequence: usize) -> Value {
    let nth = sequence % CARD_NUMBERS.len();
    let (name, email) = CUSTOMERS.get(nth).copied().unwrap_or_default();
    json!({
        "id": format!("o-{}", 1001 + sequence),
        "customer": {
            "name": name,
            "email": email,
            "card": {"number": CARD_NUMBERS.get(nth), "expiry": "12/29"},
        },
        "amount": AMOUNTS.get(nth),
        "currency": "EUR",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luhn(number: &str) -> bool {
        let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0'));
        let sum: u32 = digits
            .enumerate()
            .map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
            .sum();
        sum.is_multiple_of(10)
    }

    #[test]
    fn cards_pass_the_checksum_that_detectors_apply() {
        for number in CARD_NUMBERS {
            assert!(luhn(number), "{number}");
        }
    }

    #[test]
    fn every_order_has_its_own_id_and_a_card() {
        for (nth, order) in all().iter().enumerate() {
            assert_eq!(order["id"], format!("o-{}", 1001 + nth));
            assert_eq!(order["customer"]["card"]["number"], CARD_NUMBERS[nth]);
        }
    }
}
