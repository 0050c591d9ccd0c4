//! Every way known to make an archive that is not what it seems. Each is refused, and for the reason that it is bad.

use std::sync::Arc;

use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::super::manifest::FileEntry;
use super::super::sign;
use super::super::{SigningKey, digest};
use super::forge::{archive, bundle, end, entry, entry_with, gzip, listing, manifest};
use super::*;

const FILES: &[(&str, &str)] = &[("policies/a.yaml", POLICY), ("policies/b.yaml", "# nothing\n")];

fn refusal(bytes: &[u8]) -> Refusal {
    open(bytes, &Trust::none()).unwrap_err()
}

/// Why a bundle with a changed manifest is refused, its digest made right again after `change`.
fn with_manifest(change: impl FnOnce(&mut Value)) -> Refusal {
    let mut manifest = manifest(FILES);
    change(&mut manifest);
    refusal(&bundle(&manifest, FILES))
}

/// The honest manifest as an entry.
fn first() -> Vec<u8> {
    entry("manifest.json", manifest(FILES).to_string())
}

fn files() -> [Vec<u8>; 2] {
    [entry(FILES[0].0, FILES[0].1), entry(FILES[1].0, FILES[1].1)]
}

#[test]
fn an_honest_archive_of_other_making_opens() {
    let bytes = bundle(&manifest(FILES), FILES);
    assert_eq!(open(&bytes, &Trust::none()).unwrap().policies.len(), 2);
    let [a, b] = files();
    let padded = gzip(&[first(), a, b, vec![0; 10_240]].concat());
    assert!(open(&padded, &Trust::none()).is_ok(), "tar pads with zeros");
}

#[test]
fn signatures_that_do_not_hold_are_refused() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let signed_as = |signatures: &str| {
        let signatures = entry("signatures.json", signatures);
        let [a, b] = files();
        open(&archive(&[first(), signatures, a, b]), &trust(&key)).map(|bundle| bundle.signer)
    };
    let text = manifest(FILES).to_string();
    let (good, foreign) = (key.sign(text.as_bytes()), other.sign(text.as_bytes()));
    let list = |signatures: &[&sign::Signature]| serde_json::to_string(signatures).unwrap();
    assert_eq!(signed_as(&list(&[&good])), Ok(Some(key.public().id())));
    assert_eq!(signed_as(&list(&[&foreign, &good])), Ok(Some(key.public().id())), "others are passed over");
    assert_eq!(signed_as(&list(&[&foreign])), Err(Refusal::UnknownKey));

    let of_another = key.sign(manifest(&FILES[..1]).to_string().as_bytes());
    let under_our_name = sign::Signature { key: key.public().id(), ..foreign.clone() };
    let not_base64 = sign::Signature { signature: "*".into(), ..good.clone() };
    let short = sign::Signature { signature: good.signature[..44].into(), ..good.clone() };
    let empty = sign::Signature { signature: String::new(), ..good.clone() };
    for bad in [&of_another, &under_our_name, &not_base64, &short, &empty] {
        assert_eq!(signed_as(&list(&[bad])), Err(Refusal::BadSignature));
        assert_eq!(signed_as(&list(&[&good, bad])), Err(Refusal::BadSignature), "one bad one is enough");
    }
    let fields = serde_json::to_value(&good).unwrap();
    let changed = |name: &str, value: Value| {
        let mut fields = fields.clone();
        fields[name] = value;
        json!([fields]).to_string()
    };
    for malformed in [
        "",
        "{}",
        "[]",
        "null",
        &changed("algorithm", "none".into()),
        &changed("algorithm", "Ed25519".into()),
        &changed("extra", 1.into()),
        &changed("signature", Value::Null),
        &list(&[&good]).replace("\"key\"", "\"key\":\"x\",\"key\""),
        &list(&[&good; 17]),
    ] {
        assert_eq!(signed_as(malformed), Err(Refusal::BadSignature), "{malformed}");
    }
    assert_eq!(signed_as(&" ".repeat((64 << 10) + 1)), Err(Refusal::TooLarge));
}

#[test]
fn a_changed_manifest_is_not_what_was_signed() {
    let key = SigningKey::generate().unwrap();
    let text = manifest(FILES).to_string();
    let signatures = entry("signatures.json", serde_json::to_string(&[key.sign(text.as_bytes())]).unwrap());
    let [a, b] = files();
    for changed in [
        text.replace("1.4.0", "9.9.9"),
        text.replace("\"shop\"", "\"other\""),
        format!("{text} "),
        text.replacen(",", ", ", 1),
    ] {
        let bytes = archive(&[entry("manifest.json", &changed), signatures.clone(), a.clone(), b.clone()]);
        assert!(open(&bytes, &Trust::none()).is_ok(), "it is a good bundle otherwise");
        assert_eq!(open(&bytes, &trust(&key)).unwrap_err(), Refusal::BadSignature, "{changed}");
    }
}

#[test]
fn nothing_is_unpacked_before_the_signature_was_verified() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let text = manifest(FILES).to_string();
    let by = |key: &SigningKey| {
        entry("signatures.json", serde_json::to_string(&[key.sign(text.as_bytes())]).unwrap())
    };
    let bomb = || entry_with(b"policies/a.yaml", &vec![0; 4 << 20], |_| {});
    let open = |entries: &[Vec<u8>]| open(&archive(entries), &trust(&key)).unwrap_err();
    assert_eq!(open(&[first(), bomb()]), Refusal::Unsigned);
    assert_eq!(open(&[first(), by(&other), bomb()]), Refusal::UnknownKey);
    assert_eq!(open(&[first(), by(&key), bomb()]), Refusal::TooLarge);
    let empty = entry("manifest.json", "{\"format\": 1}");
    assert_eq!(open(&[empty.clone(), by(&key)]), Refusal::BadSignature, "nor is the manifest parsed");
    assert_eq!(open(&[empty]), Refusal::Unsigned);
    let newer = entry("manifest.json", "{\"format\": 2}");
    assert_eq!(open(&[newer]), Refusal::FutureFormat, "which may be signed in another way");
}

#[test]
fn an_archive_cut_off_at_any_byte_is_refused() {
    let key = SigningKey::generate().unwrap();
    let bytes = super::super::sign(&packed(), &key).unwrap();
    for end in 0..bytes.len() {
        let error = open(&bytes[..end], &trust(&key)).unwrap_err();
        assert_eq!(error, Refusal::Truncated, "at {end}");
    }
    let tar = [first(), files().concat(), super::forge::end()].concat();
    for end in 0..tar.len() {
        let error = refusal(&gzip(&tar[..end]));
        let fits = [Refusal::Truncated, Refusal::UnexpectedFile, Refusal::InvalidManifest].contains(&error);
        assert!(fits, "at {end}: {error:?}");
    }
}

#[test]
fn bombs_go_off_nowhere() {
    let spaces = " ".repeat(7 << 20);
    let in_the_manifest = archive(&[entry("manifest.json", spaces + &manifest(FILES).to_string())]);
    assert!(in_the_manifest.len() < 20_000);
    assert_eq!(refusal(&in_the_manifest), Refusal::TooLarge, "the ratio");
    let manifest_over_its_cap = archive(&[entry("manifest.json", vec![b' '; (8 << 20) + 1])]);
    assert_eq!(refusal(&manifest_over_its_cap), Refusal::TooLarge);
    let [a, b] = files();
    let behind_the_end = gzip(&[first(), a, b, vec![0; 40 << 20]].concat());
    assert_eq!(refusal(&behind_the_end), Refusal::TrailingData);
    let text = " ".repeat((1 << 20) + 1);
    let in_a_file = &[("policies/a.yaml", text.as_str())];
    assert_eq!(refusal(&bundle(&manifest(in_a_file), in_a_file)), Refusal::TooLarge);
    let nested = archive(&[entry("policies/a.yaml", archive(&[first()]))]);
    assert_eq!(refusal(&nested), Refusal::InvalidManifest, "archives in archives are not opened");
}

#[test]
fn the_limits_are_counted_and_not_believed() {
    let bytes = bundle(&manifest(FILES), FILES);
    let with = |limits: Limits| Bundle::open(&bytes, &Trust::none(), &limits).map_err(|error| error.refusal);
    let limits = Limits::default();
    let packed = bytes.len() as u64;
    assert!(with(Limits { packed, ..limits.clone() }).is_ok());
    assert_eq!(with(Limits { packed: packed - 1, ..limits.clone() }).unwrap_err(), Refusal::TooLarge);
    assert!(with(Limits { files: 2, ..limits.clone() }).is_ok());
    assert_eq!(with(Limits { files: 1, ..limits.clone() }).unwrap_err(), Refusal::TooLarge);
    let unpacked = (first().len() + files().concat().len() + end().len()) as u64;
    assert!(with(Limits { unpacked, ..limits.clone() }).is_ok());
    for less in [unpacked - 1, unpacked / 2, 512, 1, 0] {
        assert_eq!(with(Limits { unpacked: less, ..limits.clone() }).unwrap_err(), Refusal::TooLarge);
    }
}

#[test]
fn sizes_that_lie_are_refused() {
    let size = |set: fn(&mut Header)| {
        let [a, b] = files();
        [
            archive(&[entry_with(b"manifest.json", manifest(FILES).to_string().as_bytes(), set)]),
            archive(&[first(), entry_with(b"policies/a.yaml", POLICY.as_bytes(), set), b]),
            archive(&[first(), a, entry_with(b"policies/b.yaml", b"# nothing\n", set)]),
        ]
    };
    let lies: [fn(&mut Header); 6] = [
        |header| header.set_size(0),
        |header| header.set_size(1),
        |header| header.set_size(1 << 19),
        |header| header.set_size(u64::MAX),
        |header| header.as_ustar_mut().unwrap().size = *b"77777777777\0",
        |header| header.as_ustar_mut().unwrap().size = *b"-0000000001\0",
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        for bytes in size(lie) {
            let refusal = refusal(&bytes);
            let fits =
                [Refusal::Truncated, Refusal::WrongDigest, Refusal::TooLarge, Refusal::InvalidManifest];
            assert!(fits.contains(&refusal), "lie {number}: {refusal:?}");
        }
    }
}

#[test]
fn what_is_no_plain_file_is_refused() {
    for kind in [
        EntryType::Link,
        EntryType::Symlink,
        EntryType::Char,
        EntryType::Block,
        EntryType::Directory,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::GNUSparse,
        EntryType::XGlobalHeader,
        EntryType::XHeader,
        EntryType::new(b'V'),
        EntryType::new(0xFF),
    ] {
        let [a, b] = files();
        let special = |path: &[u8]| {
            entry_with(path, b"policies/a.yaml", |header| {
                header.set_entry_type(kind);
                header.set_link_name_literal("/etc/passwd").unwrap();
            })
        };
        for bytes in [
            archive(&[special(b"manifest.json"), first()]),
            archive(&[first(), special(b"policies/a.yaml"), a.clone(), b.clone()]),
            archive(&[first(), special(b"../../etc/passwd"), a.clone(), b.clone()]),
            archive(&[first(), a, b, special(b"policies/z.yaml")]),
        ] {
            assert_eq!(refusal(&bytes), Refusal::NotAFile, "{kind:?}");
        }
    }
}

#[test]
fn a_pax_header_can_not_change_what_the_next_file_is() {
    for record in ["size=1", "path=policies/evil.yaml", "GNU.sparse.major=1", "linkpath=/etc/passwd"] {
        let record = format!("{} {record}\n", record.len() + 4);
        for kind in [EntryType::XHeader, EntryType::XGlobalHeader] {
            let pax = entry_with(b"pax", record.as_bytes(), |header| header.set_entry_type(kind));
            let [a, b] = files();
            assert_eq!(refusal(&archive(&[first(), pax, a, b])), Refusal::NotAFile, "{record}");
        }
    }
}

#[test]
fn headers_of_other_kinds_of_tar_are_refused() {
    let [_, b] = files();
    let magic = |magic: [u8; 6], version: [u8; 2]| {
        let old = entry_with(b"policies/a.yaml", POLICY.as_bytes(), |header| {
            let ustar = header.as_ustar_mut().unwrap();
            (ustar.magic, ustar.version) = (magic, version);
        });
        refusal(&archive(&[first(), old, b.clone()]))
    };
    assert_eq!(magic(*b"ustar ", *b" \0"), Refusal::NotAFile, "GNU");
    let gnu = entry_with(b"policies/a.yaml", b"", |header| {
        let ustar = header.as_ustar_mut().unwrap();
        (ustar.magic, ustar.version) = (*b"ustar ", *b" \0");
    });
    let said = Bundle::open(&archive(&[gnu]), &Trust::none(), &Limits::default()).unwrap_err();
    let said = said.findings[0].to_string();
    assert!(said.contains("GNU tar's own format") && said.contains("portcullis bundle build"), "{said}");
    assert_eq!(magic([0; 6], [0; 2]), Refusal::NotAFile, "V7");
    let old_type = entry_with(b"policies/a.yaml", POLICY.as_bytes(), |header| {
        header.as_ustar_mut().unwrap().typeflag = [0];
    });
    assert_eq!(refusal(&archive(&[first(), old_type, b])), Refusal::NotAFile, "the type of V7");
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = first();
    bytes[100] ^= 1;
    let [a, b] = files();
    assert_eq!(refusal(&archive(&[bytes, a, b])), Refusal::Truncated);
}

#[test]
fn paths_that_are_not_plain_are_refused_whether_listed_or_not() {
    for path in [
        "../a.yaml",
        "policies/../../a.yaml",
        "policies/../a.yaml",
        "policies/./a.yaml",
        "./policies/a.yaml",
        "/policies/a.yaml",
        "/etc/passwd",
        "//policies/a.yaml",
        "policies//a.yaml",
        "policies/a.yaml/",
        "policies\\a.yaml",
        "policies/..\\..\\a.yaml",
        "C:\\policies\\a.yaml",
        "C:policies/a.yaml",
        "policies/a.yaml:stream",
        "policies/.hidden.yaml",
        "policies/a .yaml",
        "policies/a\u{7f}.yaml",
        "policies/\u{e9}.yaml",
        "policies/a\u{202e}lmay.yaml",
        "policies/a.txt",
        "other/a.yaml",
        "",
    ] {
        let listed = [(path, POLICY)];
        assert_eq!(refusal(&bundle(&manifest(&listed), &listed)), Refusal::UnsafePath, "{path:?} listed");
        let [a, b] = files();
        let not_listed = archive(&[first(), entry(path, POLICY), a, b]);
        assert_eq!(refusal(&not_listed), Refusal::UnsafePath, "{path:?} not listed");
    }
}

#[test]
fn nothing_hides_behind_a_nul_or_outside_utf_8() {
    for path in [&b"policies/a.yaml\0.exe"[..], b"policies/\xff.yaml", b"policies/\xc0\xae\xc0\xae/a.yaml"] {
        let bytes = archive(&[first(), entry_with(path, POLICY.as_bytes(), |_| {})]);
        assert_eq!(refusal(&bytes), Refusal::UnsafePath, "{path:?}");
    }
    let prefix = |prefix: &'static [u8]| {
        let bytes = entry_with(b"a.yaml", POLICY.as_bytes(), |header| {
            header.as_ustar_mut().unwrap().prefix[..prefix.len()].copy_from_slice(prefix);
        });
        open(&archive(&[first(), bytes, files()[1].clone()]), &Trust::none()).map(|_| ())
    };
    assert_eq!(prefix(b"policies"), Ok(()), "a path may be split");
    assert_eq!(prefix(b"policies\0x"), Err(Refusal::UnsafePath));
    assert_eq!(prefix(b"../policies"), Err(Refusal::UnsafePath));
    assert_eq!(prefix(b"/policies"), Err(Refusal::UnsafePath));
}

#[test]
fn a_file_comes_once() {
    let [a, b] = files();
    let again = |entries: &[&Vec<u8>]| {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).clone()).collect();
        refusal(&archive(&entries))
    };
    let key = SigningKey::generate().unwrap();
    let signature = key.sign(manifest(FILES).to_string().as_bytes());
    let signatures = entry("signatures.json", serde_json::to_string(&[signature]).unwrap());
    let upper = entry("policies/A.yaml", POLICY);
    let (m, s) = (&first(), &signatures);
    for entries in [
        &[m, m, &a, &b][..],
        &[m, &a, &a, &b],
        &[m, &a, &b, &a],
        &[m, &a, &b, &b],
        &[m, &a, &b, m],
        &[m, s, s, &a, &b],
        &[m, s, &a, s, &b],
        &[m, s, &a, &b, s],
        &[m, &a, &upper, &b],
    ] {
        assert_eq!(again(entries), Refusal::DuplicateFile);
    }
    for twice in [
        [("policies/a.yaml", POLICY), ("policies/a.yaml", POLICY)],
        [("policies/A.yaml", POLICY), ("policies/a.yaml", POLICY)],
    ] {
        assert_eq!(refusal(&bundle(&manifest(&twice), &twice)), Refusal::DuplicateFile);
    }
}

#[test]
fn the_archive_holds_what_the_manifest_lists_in_that_order_and_nothing_else() {
    let [a, b] = files();
    let c = entry("policies/c.yaml", POLICY);
    let signatures = entry("signatures.json", "[]");
    for entries in [
        &[first()][..],
        &[first(), a.clone()],
        &[first(), b.clone()],
        &[first(), b.clone(), a.clone()],
        &[first(), a.clone(), b.clone(), c.clone()],
        &[first(), a.clone(), c, b.clone()],
        &[first(), a.clone(), signatures.clone(), b.clone()],
        &[first(), a.clone(), b.clone(), signatures],
    ] {
        assert_eq!(refusal(&archive(entries)), Refusal::UnexpectedFile);
    }
    let misnamed = |path| entry(path, manifest(FILES).to_string());
    for entries in [
        &[][..],
        &[a.clone(), first(), b.clone()],
        &[misnamed("Manifest.json"), a.clone(), b.clone()],
        &[misnamed("policies/manifest.json"), a.clone(), b.clone()],
        &[misnamed("signatures.json"), a.clone(), b.clone()],
        &[a, b, first()],
    ] {
        assert_eq!(refusal(&archive(entries)), Refusal::InvalidManifest, "the manifest comes first");
    }
}

#[test]
fn contents_are_what_the_manifest_says() {
    let other = POLICY.replace("GET", "PUT");
    for text in [other.as_str(), "", &format!("{POLICY}\n"), &POLICY[1..]] {
        let bytes = bundle(&manifest(FILES), &[("policies/a.yaml", text), FILES[1]]);
        assert_eq!(refusal(&bytes), Refusal::WrongDigest, "{text}");
    }
    let swapped = bundle(&manifest(FILES), &[(FILES[0].0, FILES[1].1), (FILES[1].0, FILES[0].1)]);
    assert_eq!(refusal(&swapped), Refusal::WrongDigest);
    for (field, value) in
        [("digest", json!("0".repeat(64))), ("digest", json!(digest::of_files(&[]))), ("digest", json!(""))]
    {
        assert_eq!(with_manifest(|manifest| manifest[field] = value), Refusal::WrongDigest);
    }
    // The digest in the manifest is right, that of a file is not.
    let lists = |sha256: String, size: u64| {
        let file = FileEntry { path: "policies/a.yaml".into(), size, sha256: sha256.into() };
        refusal(&bundle(&listing(&[file]), &FILES[..1]))
    };
    let right = digest::sha256(POLICY.as_bytes());
    let size = POLICY.len() as u64;
    assert_eq!(lists(right.to_uppercase(), size), Refusal::WrongDigest);
    assert_eq!(lists(right.clone(), size + 1), Refusal::WrongDigest);
    assert_eq!(lists(right, u64::MAX), Refusal::WrongDigest);
    assert_eq!(lists(String::new(), size), Refusal::WrongDigest);
}

#[test]
fn a_manifest_is_read_strictly() {
    type Change = fn(&mut Value);
    let invalid: [Change; 17] = [
        |manifest| manifest["comment"] = "x".into(),
        |manifest| manifest["files"][0]["mode"] = 1.into(),
        |manifest| manifest["format"] = 0.into(),
        |manifest| manifest["format"] = "1".into(),
        |manifest| manifest["format"] = Value::Null,
        |manifest| manifest["name"] = "".into(),
        |manifest| manifest["name"] = "Shop/../x".into(),
        |manifest| manifest["version"] = "1".into(),
        |manifest| manifest["version"] = "v1.4.0".into(),
        |manifest| manifest["created"] = "yesterday".into(),
        |manifest| manifest["parent"] = "abc".into(),
        |manifest| manifest["minimum_server"] = 1.into(),
        |manifest| manifest["files"] = Value::Null,
        |manifest| manifest["files"][0]["size"] = (-1).into(),
        |manifest| manifest["files"].as_array_mut().unwrap().reverse(),
        |manifest| manifest["files"] = json!([]),
        |manifest| *manifest = json!([manifest.clone()]),
    ];
    for (number, change) in invalid.into_iter().enumerate() {
        assert_eq!(with_manifest(change), Refusal::InvalidManifest, "{number}");
    }
    for field in ["format", "name", "version", "digest", "created", "files"] {
        let lacking = |manifest: &mut Value| drop(manifest.as_object_mut().unwrap().remove(field));
        assert_eq!(with_manifest(lacking), Refusal::InvalidManifest, "{field}");
    }
    let text = manifest(FILES).to_string();
    for text in [
        String::new(),
        "{".to_owned(),
        format!("{text}{text}"),
        format!("\u{feff}{text}"),
        text.replacen("{", "{\"format\":1,", 1),
        text.replacen("{", "{\"name\":\"other\",", 1),
        text.replacen("{", "{\"Name\":\"other\",", 1),
        text.replacen("{", "{\"n\\u0061me\":\"other\",", 1),
        text.replace("\"size\"", "\"size\":1,\"size\""),
    ] {
        let [a, b] = files();
        let bytes = archive(&[entry("manifest.json", &text), a, b]);
        assert_eq!(refusal(&bytes), Refusal::InvalidManifest, "{text}");
    }
    let cases_only = [("policies/a.cases.yaml", CASES)];
    assert_eq!(refusal(&bundle(&manifest(&cases_only), &cases_only)), Refusal::InvalidManifest);
}

#[test]
fn newer_formats_and_bundles_for_newer_servers_are_refused_as_such() {
    for format in [2, 3, u64::from(u32::MAX), u64::MAX] {
        let change = |manifest: &mut Value| {
            manifest["format"] = format.into();
            manifest["unknown"] = true.into();
        };
        assert_eq!(with_manifest(change), Refusal::FutureFormat);
    }
    assert_eq!(with_manifest(|manifest| manifest["minimum_server"] = "99.0.0".into()), Refusal::ServerTooOld);
    let mut old = manifest(FILES);
    old["minimum_server"] = env!("CARGO_PKG_VERSION").into();
    assert!(open(&bundle(&old, FILES), &Trust::none()).is_ok());
}

#[test]
fn nothing_follows_the_end() {
    let good = bundle(&manifest(FILES), FILES);
    for more in [&b"x"[..], &[0; 512], &good, &gzip(b""), &gzip(&end())] {
        assert_eq!(refusal(&[&good, more].concat()), Refusal::TrailingData);
    }
    let tar = [first(), files().concat()].concat();
    let evil = entry("policies/z.yaml", POLICY);
    for (rest, expected) in [
        ([end(), evil.clone(), end()].concat(), Refusal::TrailingData),
        ([vec![0; 512], evil, end()].concat(), Refusal::TrailingData),
        ([end(), vec![1]].concat(), Refusal::TrailingData),
        (vec![0; 20_480], Refusal::TrailingData),
        (vec![], Refusal::Truncated),
        (vec![0; 512], Refusal::Truncated),
        (vec![0; 1023], Refusal::Truncated),
    ] {
        assert_eq!(refusal(&gzip(&[tar.clone(), rest].concat())), expected);
    }
    // Two members that are one archive together.
    let (one, two) = tar.split_at(512);
    let members = [gzip(one), gzip(&[two, &end()].concat())].concat();
    assert_eq!(refusal(&members), Refusal::Truncated);
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [&b""[..], b"x", b"\x1f\x8b", b"PK\x03\x04", POLICY.as_bytes(), &gzip(b""), &gzip(b"x")] {
        let refusal = refusal(bytes);
        assert!(matches!(refusal, Refusal::Truncated), "{bytes:?}: {refusal:?}");
    }
    assert_eq!(refusal(&[first(), end()].concat()), Refusal::Truncated, "a tar that is not compressed");
}

#[test]
fn a_whole_bundle_with_bad_policies_or_cases_can_not_be_prepared() {
    let prepare = |files: &[(&str, &str)]| {
        let bundle = open(&bundle(&manifest(files), files), &Trust::none()).unwrap();
        bundle.prepare(&policy::Options::default()).map_err(|refused| refused.refusal)
    };
    let policy = ("policies/a.yaml", POLICY);
    let prepared = prepare(&[("policies/a.cases.yaml", CASES), policy]).unwrap();
    assert_eq!((prepared.passed, prepared.set.len()), (1, 1));
    let wrong = CASES.replace("allow", "deny");
    assert_eq!(prepare(&[("policies/a.cases.yaml", &wrong), policy]).unwrap_err(), Refusal::FailingCase);
    let no_case = CASES.replace("allow", "perhaps");
    assert_eq!(prepare(&[("policies/a.cases.yaml", &no_case), policy]).unwrap_err(), Refusal::InvalidCase);
    let broken = POLICY.replace("request.method", "request.metod");
    assert_eq!(prepare(&[("policies/a.yaml", &broken)]).unwrap_err(), Refusal::InvalidPolicy);
}

#[test]
fn policies_are_text() {
    let file = FileEntry { path: "policies/a.yaml".into(), size: 1, sha256: digest::sha256(b"\xff").into() };
    let bytes =
        archive(&[entry("manifest.json", listing(&[file]).to_string()), entry("policies/a.yaml", b"\xff")]);
    assert_eq!(refusal(&bytes), Refusal::InvalidPolicy);
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do_and_shows_no_control_characters() {
    let bytes = bundle(&manifest(FILES), &[("policies/a\u{1b}[31m.yaml", POLICY)]);
    let refused = Bundle::open(&bytes, &Trust::none(), &Limits::default()).unwrap_err();
    let [finding] = refused.findings.as_slice() else { panic!("{refused:?}") };
    assert_eq!(finding.code, "unsafe-path");
    assert!(finding.message.contains("policies/a\\u{1b}[31m.yaml"), "{}", finding.message);
    assert!(finding.help.is_some());
    let name: Arc<str> = "\u{1b}[31m".into();
    let refused = plain().pack(&Label { name, ..label() }).unwrap_err();
    assert!(!refused.findings[0].message.contains('\u{1b}'));
}

#[test]
fn opening_knows_no_file_system() {
    for source in [
        include_str!("../archive.rs"),
        include_str!("../open.rs"),
        include_str!("../manifest.rs"),
        include_str!("../digest.rs"),
    ] {
        for word in ["std::fs", "fs::", "File::", "unpack(", "unpack_in("] {
            assert!(!source.contains(word), "{word}");
        }
    }
}
