//! The documents that are masked: made by arithmetic alone, so that every machine has the same.

use std::fmt::Write as _;

/// What a document is called in the report, what it is like, and its texts: each is a body of its own.
pub struct Document {
    pub name: &'static str,
    pub what: &'static str,
    pub bodies: Vec<Vec<u8>>,
}

/// How large the array of records is, in bytes; other large documents have a tenth of it.
const LARGE: usize = 10 << 20;

/// All documents. Each holds cards' numbers, e-mail addresses and social security numbers to mask.
pub fn documents() -> Vec<Document> {
    let mut random = Random::new(0x5eed);
    let mut document = |name, what, bodies: fn(&mut Random) -> Vec<String>| Document {
        name,
        what,
        bodies: bodies(&mut random).into_iter().map(String::into_bytes).collect(),
    };
    vec![
        document("small", "small API answers", |random| {
            (0..256).map(|id| record(random, id, ASCII)).collect()
        }),
        document("small_pretty", "small API answers, indented", |random| {
            (0..256).map(|id| indented(&record(random, id, ASCII))).collect()
        }),
        document("records", "10 MB of records, minified", |random| vec![records(random, LARGE, ASCII)]),
        document("pretty", "10 MB of records, indented", |random| {
            vec![indented(&records(random, LARGE * 5 / 8, ASCII))]
        }),
        document("deep", "trees of 60 levels", |random| vec![deep(random, LARGE / 10)]),
        document("strings", "strings of some kilobytes", |random| vec![long_strings(random, LARGE / 10)]),
        document("non_ascii", "records of non-ASCII text", |random| vec![records(random, LARGE / 10, WORLD)]),
    ]
}

/// Words to make text of.
pub type Words = &'static [&'static str];

pub const ASCII: Words = &[
    "order", "ship", "blue", "north", "river", "invoice", "parcel", "table", "lamp", "garden", "quick", "a",
    "of", "paper", "winter", "station", "harbour", "nine", "copper", "in",
];
pub const WORLD: Words = &[
    "заказ",
    "доставка",
    "синий",
    "река",
    "счёт",
    "посылка",
    "注文",
    "東京都",
    "発送済み",
    "庭",
    "紙",
    "冬",
    "größe",
    "straße",
    "naïve",
    "📦",
    "🚚",
    "café",
    "in",
    "no",
];

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn text(&mut self, words: Words, count: u64) -> String {
        let word = |random: &mut Self| {
            let at = random.below(words.len() as u64);
            words.get(usize::try_from(at).unwrap_or(0)).copied().unwrap_or_default()
        };
        (0..count).map(|_| word(self)).collect::<Vec<_>>().join(" ")
    }
}

/// One customer's order, about 700 bytes.
pub fn record(random: &mut Random, id: u64, words: Words) -> String {
    let mut items = Vec::new();
    for _ in 0..=random.below(3) {
        items.push(format!(
            r#"{{"sku":"sku-{:05}","title":"{}","quantity":{},"price":{}.{:02},"tags":["{}","{}"],"gift":{}}}"#,
            random.below(100_000),
            random.text(words, 3),
            1 + random.below(9),
            random.below(500),
            random.below(100),
            random.text(words, 1),
            random.text(words, 1),
            random.below(2) == 0,
        ));
    }
    format!(
        concat!(
            r#"{{"id":{},"status":"{}","created_at":"2026-{:02}-{:02}T10:{:02}:00Z","customer":{{"id":"c-{}","name":"{}","#,
            r#""email":"user{}@example.com","ssn":"{:03}-{:02}-{:04}","address":{{"street":"{}","city":"{}","zip":"{:05}","#,
            r#""geo":[{}.{:05},-{}.{:05}]}},"vip":{},"note":null}},"card":{{"number":"4111{:012}","brand":"visa","#,
            r#""expires":"{:02}/28"}},"items":[{}],"total":{}.{:02},"comment":"{}"}}"#,
        ),
        id,
        random.text(&["paid", "open", "shipped"], 1),
        1 + random.below(12),
        1 + random.below(28),
        random.below(60),
        random.below(1_000_000),
        random.text(words, 2),
        random.below(1_000_000),
        random.below(1_000),
        random.below(100),
        random.below(10_000),
        random.text(words, 2),
        random.text(words, 1),
        random.below(100_000),
        random.below(90),
        random.below(100_000),
        random.below(90),
        random.below(100_000),
        random.below(2) == 0,
        random.below(1_000_000_000_000),
        1 + random.below(12),
        items.join(","),
        random.below(2_000),
        random.below(100),
        random.text(words, 8),
    )
}

/// An array of records, of at least so many bytes.
pub fn records(random: &mut Random, bytes: usize, words: Words) -> String {
    let mut text = String::from("[");
    let mut id = 0;
    while text.len() < bytes {
        if id > 0 {
            text.push(',');
        }
        text.push_str(&record(random, id, words));
        id += 1;
    }
    text + "]"
}

/// The same JSON with two blanks for each level.
pub fn indented(json: &str) -> String {
    let (mut text, mut level, mut quoted, mut escaped) = (String::new(), 0, false, false);
    for c in json.chars() {
        if quoted {
            text.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => level += 1,
            '}' | ']' => level -= 1,
            _ => {}
        }
        if matches!(c, '}' | ']') {
            let _ = write!(text, "\n{:width$}", "", width = 2 * level);
        }
        text.push(c);
        match c {
            '{' | '[' | ',' => drop(write!(text, "\n{:width$}", "", width = 2 * level)),
            ':' => text.push(' '),
            '"' => quoted = true,
            _ => {}
        }
    }
    text
}

/// Trees of objects and arrays, with a record at each tip.
pub fn deep(random: &mut Random, bytes: usize) -> String {
    let mut text = String::from("[");
    while text.len() < bytes {
        if text.len() > 1 {
            text.push(',');
        }
        for level in 0..30 {
            let _ = write!(text, r#"{{"level":{level},"left":{{"leaf":{}}},"children":["#, random.below(10));
        }
        text.push_str(r#"{"email":"tip@example.com","ssn":"123-45-6789"}"#);
        text.push_str(&"]}".repeat(30));
    }
    text + "]"
}

/// Records of two long texts each.
pub fn long_strings(random: &mut Random, bytes: usize) -> String {
    let mut text = String::from("[");
    while text.len() < bytes {
        if text.len() > 1 {
            text.push(',');
        }
        let lines: Vec<String> = (0..60).map(|_| random.text(ASCII, 12)).collect();
        let _ = write!(
            text,
            r#"{{"email":"a@example.com","title":"{}","body":"{}","quote":"he said \"{}\""}}"#,
            random.text(ASCII, 400),
            lines.join("\\n"),
            random.text(ASCII, 100),
        );
    }
    text + "]"
}
