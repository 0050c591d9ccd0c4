//! Tables of what each kind is and isn't.

use super::*;
use Confidence::{High, Low, Medium};

/// Each text has one value of the kind in `<>`, found with that confidence and with no greater one.
fn finds(kind: Kind, table: &[(&str, Confidence)]) {
    let place = format!("[{}]", kind.name());
    for (marked, confidence) in table {
        let text = marked.replace(['<', '>'], "");
        let (before, rest) = marked.split_once('<').unwrap();
        let (_, after) = rest.split_once('>').unwrap();
        let expected = format!("{before}{place}{after}");
        for asked in [Low, Medium, High] {
            let expected = if asked <= *confidence { &expected } else { &text };
            assert_eq!(mask(&[kind], asked, &text), *expected, "{marked} at {asked:?}");
        }
    }
}

/// Nothing of the kind is in these, however unsure one is.
fn passes(kind: Kind, texts: &[&str]) {
    for text in texts {
        assert_eq!(mask(&[kind], Low, text), *text);
    }
}

#[test]
fn cards_are_found_by_brand_length_and_check_digit() {
    // The numbers that the brands and their processors publish for tests.
    let numbers = [
        "4111111111111111",
        "4012888888881881",
        "4222222222222",
        "4000000000000000006",
        "5555555555554444",
        "5105105105105100",
        "2223003122003222",
        "2720990000000007",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "6011000990139424",
        "30569309025904",
        "38520000023237",
        "36227206271667",
        "3530111333300000",
        "3566002020360505",
        "6205500000000000004",
        "6200000000000005",
        "6759649826438453",
        "2200770212727079",
        "6521111111111110",
        "135410014004955",
    ];
    for number in numbers {
        let number = format!("x <{number}>, y");
        finds(Kind::Card, &[(&number, Medium)]);
    }
    finds(
        Kind::Card,
        &[
            ("<4111 1111 1111 1111>", High),
            ("<4111-1111-1111-1111> 12/27 123", High),
            ("<4111.1111.1111.1111>", High),
            ("<4111\u{a0}1111\u{a0}1111\u{a0}1111>", High),
            ("<3782 822463 10005>", High),
            ("<3056 930902 5904>", High),
            ("12 <4111 1111 1111 1111> 123", High),
            ("my card: <4111111111111111>", High),
            ("<4111111111111111> is the PAN", High),
            ("card<4111111111111111>", High),
            ("<41 11 11 11 11 11 11 11>", Low),
            ("a<4111111111111111>b", Low),
            ("_<4111111111111111>_", Medium),
            ("+<4111111111111111>", Medium),
        ],
    );
}

#[test]
fn other_numbers_are_no_cards() {
    passes(
        Kind::Card,
        &[
            "4111111111111112",
            "4111 1111 1111 1112",
            "41111111111111111",
            "94111111111111111",
            "4111111111111111000000",
            "1111111111111117",
            "7992739871300008",
            "0.4111111111111111",
            "3,4111111111111111",
            "4111 1111-1111 1111",
            "4111  1111  1111  1111",
            "2026-11-21T22:55:12.123456Z",
            "123e4567-e89b-12d3-a456-426614174000",
            "1732229712345",
            "",
        ],
    );
}

#[test]
fn ibans_are_found_by_country_length_and_check_digits() {
    // The examples of the registry.
    let numbers = [
        "AD1200012030200359100100",
        "AE070331234567890123456",
        "AL47212110090000000235698741",
        "AT611904300234573201",
        "AZ21NABZ00000000137010001944",
        "BA391290079401028494",
        "BE68539007547034",
        "BG80BNBG96611020345678",
        "BH67BMAG00001299123456",
        "BR1800360305000010009795493C1",
        "CH9300762011623852957",
        "CR05015202001026284066",
        "CY17002001280000001200527600",
        "CZ6508000000192000145399",
        "DE89370400440532013000",
        "DK5000400440116243",
        "DO28BAGR00000001212453611324",
        "EE382200221020145685",
        "ES9121000418450200051332",
        "FI2112345600000785",
        "FO6264600001631634",
        "FR1420041010050500013M02606",
        "GB29NWBK60161331926819",
        "GE29NB0000000101904917",
        "GI75NWBK000000007099453",
        "GL8964710001000206",
        "GR1601101250000000012300695",
        "GT82TRAJ01020000001210029690",
        "HR1210010051863000160",
        "HU42117730161111101800000000",
        "IE29AIBK93115212345678",
        "IL620108000000099999999",
        "IS140159260076545510730339",
        "IT60X0542811101000000123456",
        "JO94CBJO0010000000000131000302",
        "KW81CBKU0000000000001234560101",
        "KZ86125KZT5004100100",
        "LB62099900000001001901229114",
        "LI21088100002324013AA",
        "LT121000011101001000",
        "LU280019400644750000",
        "LV80BANK0000435195001",
        "MC5811222000010123456789030",
        "MD24AG000225100013104168",
        "ME25505000012345678951",
        "MK07250120000058984",
        "MR1300020001010000123456753",
        "MT84MALT011000012345MTLCAST001S",
        "MU17BOMM0101101030300200000MUR",
        "NL91ABNA0417164300",
        "NO9386011117947",
        "PK36SCBL0000001123456702",
        "PL61109010140000071219812874",
        "PS92PALS000000000400123456702",
        "PT50000201231234567890154",
        "QA58DOHB00001234567890ABCDEFG",
        "RO49AAAA1B31007593840000",
        "RS35260005601001611379",
        "SA0380000000608010167519",
        "SE4550000000058398257466",
        "SI56263300012039086",
        "SK3112000000198742637541",
        "SM86U0322509800000000270100",
        "TN5910006035183598478831",
        "TR330006100519786457841326",
        "UA213223130000026007233566001",
        "VG96VPVG0000012345678901",
        "XK051212012345678906",
    ];
    for number in numbers {
        let marked = format!("(<{number}>)");
        finds(Kind::Iban, &[(&marked, High)]);
    }
    finds(
        Kind::Iban,
        &[
            ("<GB29 NWBK 6016 1331 9268 19>.", High),
            ("<DE89-3704-0044-0532-0130-00>", High),
            ("<gb29nwbk60161331926819>", Medium),
            ("IBAN <gb29nwbk60161331926819>", High),
        ],
    );
    passes(
        Kind::Iban,
        &[
            "GB29NWBK60161331926818",
            "GB29NWBK6016133192681",
            "GB29NWBK601613319268190",
            "XGB29NWBK60161331926819",
            "ZZ29NWBK60161331926819",
            "GB29NWBK  60161331926819",
            "DE8937040044053201300",
        ],
    );
}

#[test]
fn social_security_numbers_have_ranges_that_can_be() {
    finds(
        Kind::Ssn,
        &[
            ("<219-09-9999>", Medium),
            ("(<078-05-1120>)", Medium),
            ("SSN: <078-05-1120>", High),
            ("<123 45 6789>", Low),
            ("<123456789>", Low),
            ("his social security number is <123456789>", High),
            ("<899-99-9999>", Medium),
            ("<001-01-0001>", Medium),
        ],
    );
    passes(
        Kind::Ssn,
        &[
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "999-99-9999",
            "123-00-4567",
            "123-45-0000",
            "123-456-789",
            "123.45.6789",
            "1234567890",
            "12345678",
            "a123456789",
            "123-45-6789-0",
            "9-123-45-6789",
            "123-45 6789",
            "2026-11-21",
        ],
    );
}

#[test]
fn email_addresses_are_found_by_their_sign() {
    finds(
        Kind::Email,
        &[
            ("<alice@example.com>", High),
            ("to <alice.o'hara+tag@mail.example.co.uk>.", High),
            ("mailto:<a_b-c@x-y.io>?subject=x", High),
            ("\"<alice@example.com>\"", High),
            ("(<1@2.de>)", High),
            ("<jürgen@exämple.de>", High),
            ("邮箱<alice@example.com>。", High),
            ("to=<alice@example.com>&x=1", High),
            ("...<alice@example.com>...", High),
            ("<alice@example.com>-", High),
            ("<x@xn--exmple-cua.xn--p1ai>", High),
        ],
    );
    passes(
        Kind::Email,
        &[
            "alice@localhost",
            "@example.com",
            "alice@",
            "a@b",
            "alice@1.2",
            "@@@@",
            "a @b.com",
            "a@.com",
            "é @ è",
        ],
    );
}

#[test]
fn phone_numbers_are_found_by_their_forms() {
    finds(
        Kind::Phone,
        &[
            ("<+14155552671>", High),
            ("<+44 20 7946 0958>", High),
            ("<+49 (30) 901820>,", High),
            ("<(+33) 6 12 34 56 78>", High),
            ("<+81-3-1234-5678>", High),
            ("tel:<+1-415-555-2671>", High),
            ("<(415) 555-2671>", Medium),
            ("<415-555-2671>", Medium),
            ("<415.555.2671>", Medium),
            ("<1-800-555-0199>", Medium),
            ("call <415 555 2671>", High),
            ("<415 555 2671>", Low),
            ("<4155552671>", Low),
            ("<030 901820>", Low),
            ("Telefon: <030/901820>", High),
            ("Tel. <06 12 34 56 78>", High),
            ("<0044 20 7946 0958>", Low),
        ],
    );
    passes(
        Kind::Phone,
        &[
            "+1234567",
            "+1234567890123456",
            "+0123456789",
            "115-555-2671",
            "415-155-2671",
            "411-555-2671x",
            "555-2671",
            "12345678901",
            "1.415-555-2671.9.9.9.9.9.9.9.9",
            "v4155552671",
            "2026-11-21",
            "",
        ],
    );
}

#[test]
fn internet_addresses_are_found() {
    finds(
        Kind::Ip,
        &[
            ("<192.168.0.1>", Medium),
            ("<10.0.0.255>:8080", Medium),
            ("http://<1.2.3.4>/x", Medium),
            ("<1.2.3.4>.", Medium),
            ("from client <8.8.8.8>", High),
            ("<2001:db8:85a3::8a2e:370:7334>", High),
            ("[<2001:db8:0:0:0:0:0:1>]:443", High),
            ("<fe80::1>", Medium),
            ("<::ffff:192.0.2.1>, x", Medium),
            ("<::1>", Low),
            ("<add::bad>", Low),
            ("<2001:db8::1:0:1>:", High),
        ],
    );
    passes(
        Kind::Ip,
        &[
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "v1.2.3.4",
            "1.2.3.4a",
            "12:30:45",
            "std::vec",
            "00:1b:44:11:3a:b7",
            "a:b",
            "::::",
            "1:2:3:4:5:6:7:8:9",
            "12345::1",
            "x::1",
        ],
    );
}

#[test]
fn json_web_tokens_are_found_to_their_end() {
    let head = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    let body = "eyJzdWIiOiIxMjM0NTY3ODkwIn0";
    let (signed, encrypted) =
        (format!("{head}.{body}.SflKxwRJSMeKKF2QT4fwpM"), format!("{head}.abc.def.ghi.jkl"));
    let long = format!("{head}.{body}.{}", "x".repeat(20_000));
    let endless = format!("eyJ{}.a.b", "x".repeat(5_000));
    finds(
        Kind::Jwt,
        &[
            (&format!("<{signed}>"), High),
            (&format!("Bearer <{signed}>, x"), High),
            (&format!("<{encrypted}>"), Medium),
            (&format!("<{head}..def.ghi.jkl> x"), Medium),
            (&format!("a <{long}> z"), High),
            (&format!("a <{endless}> z"), Medium),
            (&format!("<{head}.{body}>"), High),
        ],
    );
    passes(Kind::Jwt, &[head, "eyJpZCI6MTIzfQ==", "eyJ.eyJ.x", &format!("{head}. {body}")]);
}

#[test]
fn keys_are_found_by_how_they_begin() {
    // Put together here, so that nobody takes this file for a place where keys lie.
    let random =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";
    let of = |prefix: &str, length: usize| format!("{prefix}{}", &random[..length]);
    let keys = [
        of("AKIA", 16),
        of("ASIA", 16),
        of("AIza", 35),
        of("GOCSPX-", 28),
        of("ya29.", 60),
        of("github_pat_", 82),
        of("glpat-", 20),
        of("xoxb-", 50),
        of("xoxp-", 50),
        of("xapp-", 60),
        of("sk_live_", 24),
        of("rk_test_", 24),
        of("whsec_", 32),
        of("pypi-AgEIcHlwaS5vcmc", 70),
        of("dckr_pat_", 27),
        of("sk-ant-", 90),
        of("sk-proj-", 48),
        of("hf_", 34),
        of("dop_v1_", 64),
        of("hvs.", 90),
        of("SG.", 66),
        of("shpat_", 32),
        of("ATATT3", 90),
        of("hooks.slack.com/services/T000/B000/", 24),
        of("npm_", 40),
        of("glsa_", 41),
        of("oy2", 43),
        of("AGE-SECRET-KEY-1", 58),
    ];
    let checked_only_by_form = ["npm_"];
    for key in &keys {
        let confidence =
            if checked_only_by_form.iter().any(|prefix| key.starts_with(prefix)) { Medium } else { High };
        finds(
            Kind::ApiKey,
            &[
                (&format!("<{key}>"), confidence),
                (&format!("key=<{key}>, x"), confidence),
                (&format!("/<{key}>\n"), confidence),
            ],
        );
        passes(Kind::ApiKey, &[&format!("x{key}"), &key[..14]]);
    }
    let base64 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let client = format!("abc8Q~{}", &random[..34]);
    finds(
        Kind::ApiKey,
        &[
            (&format!("AccountKey=<{base64}abcdefghijklmnopqrstuvwxyz0123456789AAAA==>;Endpoint"), High),
            (&format!("aws_secret_access_key = <{base64}>"), High),
            (&format!("\"secretAccessKey\": \"<{base64}>\""), High),
            (&format!("\"<{client}>\""), High),
            (&format!("<{}>", of("ghp_", 36)), Medium),
        ],
    );
    passes(
        Kind::ApiKey,
        &[&of("AKIA", 17), &format!("AccountKey {base64}"), "ghp_short", &format!("x{client}")],
    );
}

#[test]
fn a_checksum_makes_a_token_certain() {
    let random = "0123456789abcdefghijklmnopqrst";
    let mut sum = crc32fast::hash(random.as_bytes());
    let mut check = Vec::new();
    for _ in 0..6 {
        check.insert(
            0,
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(sum % 62) as usize],
        );
        sum /= 62;
    }
    let check = String::from_utf8(check).unwrap();
    finds(
        Kind::ApiKey,
        &[(&format!("<ghp_{random}{check}>"), High), (&format!("<npm_{random}{check}>"), High)],
    );
}

#[test]
fn private_keys_are_found_to_their_end_line() {
    let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/==\n-----END RSA PRIVATE KEY-----";
    let long = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "MIIE\n".repeat(4_000));
    finds(
        Kind::PrivateKey,
        &[
            (&format!("x\n<{block}>\ny"), High),
            (&format!("<{block}>"), High),
            (&format!("a<{long}>\nz"), High),
            ("<-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn and all that follows>", High),
            ("<-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabc\n-----END PGP PRIVATE KEY BLOCK-----> x", High),
        ],
    );
    passes(
        Kind::PrivateKey,
        &[
            "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "PRIVATE KEY",
        ],
    );
}
