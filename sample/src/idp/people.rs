//! Who works at the sample shop.

use serde::Serialize;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Person {
    pub name: &'static str,
    pub email: &'static str,
    pub groups: &'static [&'static str],
}

/// Everybody whom the identity provider knows.
pub const PEOPLE: [Person; 4] = [
    Person { name: "ana", email: "ana@example.com", groups: &["staff"] },
    Person { name: "bob", email: "bob@example.com", groups: &["finance-oncall", "staff"] },
    Person { name: "carl", email: "carl@example.com", groups: &["guests"] },
    Person { name: "dana", email: "dana@example.com", groups: &["support"] },
];

pub fn find(name: &str) -> Option<Person> {
    PEOPLE.into_iter().find(|person| person.name == name)
}
