//! What files may hold, and what happens when they change.

use std::fs;

use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_RSA_SHA256, SanType};

use super::handshake::{Greeter, greeted_by};
use super::{Files, Issued};
use crate::clock::Clock;
use crate::metrics::TlsListener;
use crate::tls::{Broken, Config, Limits, Material, Prepared};

fn read(config: &Config) -> Result<Material, Broken> {
    Material::read(config, TlsListener::Grpc, &Clock::system())
}

fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

#[test]
fn keys_come_as_pkcs8_sec1_or_pkcs1() {
    let files = Files::valid();
    assert!(read(&files.config(&[])).is_ok(), "PKCS#8");
    let config = files.config(&[]);
    let issue = |key: &KeyPair| {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        fs::write(&config.certificate, params.signed_by(key, &files.authority.0).unwrap().pem()).unwrap();
    };
    // Within PKCS#8 the older formats stand behind the algorithm: the last field.
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    issue(&rsa);
    let inner = &rsa.serialized_der()[26..];
    fs::write(&config.private_key, pem("RSA PRIVATE KEY", inner)).unwrap();
    read(&config).unwrap_or_else(|error| panic!("PKCS#1: {error}"));
    let ec = KeyPair::generate().unwrap();
    issue(&ec);
    let der = ec.serialized_der();
    let at = der.windows(4).position(|four| four == [0x02, 0x01, 0x01, 0x04]).unwrap() - 2;
    fs::write(&config.private_key, pem("EC PRIVATE KEY", &der[at..])).unwrap();
    read(&config).unwrap_or_else(|error| panic!("SEC1: {error}"));
}

#[test]
fn each_mistake_names_its_file_and_what_is_wrong() {
    let files = Files::valid();
    let config = files.config(&["spiffe://a/*"]);
    let good = |name: &str| fs::read(files.folder.path().join(name)).unwrap();
    let (certificate, key, ca) = (good("tls.crt"), good("tls.key"), good("ca.pem"));
    let other = files.authority.server();
    for (file, text, said) in [
        ("tls.crt", None, "tls.crt`: No such file"),
        ("tls.crt", Some("".to_owned()), "tls.crt` holds no certificate"),
        ("tls.crt", Some(other.key.clone()), "tls.crt` holds no certificate"),
        ("tls.crt", Some("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned()), "tls.crt` is not a PEM file"),
        ("tls.crt", Some(pem("CERTIFICATE", b"nonsense")), "tls.crt` can't be used"),
        ("tls.crt", Some(other.certificate.clone()), "don't belong together"),
        ("tls.crt", Some("x".repeat(2 << 20)), "larger than 1 MiB"),
        ("tls.key", None, "tls.key`: No such file"),
        ("tls.key", Some(other.certificate.clone()), "tls.key` holds no private key"),
        ("tls.key", Some(pem("ENCRYPTED PRIVATE KEY", b"x")), "not encrypted"),
        ("tls.key", Some(pem("PRIVATE KEY", b"nonsense")), "tls.key` can't be used"),
        ("tls.key", Some(other.key.clone()), "don't belong together"),
        ("ca.pem", None, "ca.pem`: No such file"),
        ("ca.pem", Some(String::new()), "ca.pem` holds no certificate"),
        ("ca.pem", Some(pem("CERTIFICATE", b"nonsense")), "ca.pem` can't be used"),
    ] {
        for (name, bytes) in [("tls.crt", &certificate), ("tls.key", &key), ("ca.pem", &ca)] {
            fs::write(files.folder.path().join(name), bytes).unwrap();
        }
        read(&config).unwrap();
        let path = files.folder.path().join(file);
        match &text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = read(&config).unwrap_err().to_string();
        assert!(error.contains(said), "{error}: {said}");
        // A key is never shown.
        assert!(!error.contains("PRIVATE KEY-----"), "{error}");
    }
}

#[test]
fn a_certificate_out_of_its_time_is_told_of_and_serves_all_the_same() {
    let files = Files::valid();
    let year = |year: i32, from: i32| {
        files.authority.issue(|params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        })
    };
    let unfit = |issued: &Issued| {
        issued.write(files.folder.path(), "tls");
        let (_, unfit) = Prepared::read(&files.config(&[]), TlsListener::Grpc, &Clock::system()).unwrap();
        unfit.map(|why| why.to_string())
    };
    assert_eq!(unfit(&files.authority.server()), None);
    let said = unfit(&year(2021, 2020)).unwrap();
    assert!(said.contains("expired at 2021-01-01T00:00:00Z: renew it"), "{said}");
    assert!(unfit(&year(4000, 3999)).unwrap().contains("is not valid before 3999-01-01"));
    // A chain is as good as its first certificate to expire.
    let (leaf, middle) = (year(2099, 2020), year(2021, 2020));
    leaf.write(files.folder.path(), "tls");
    let chain = format!("{}{}", leaf.certificate, middle.certificate);
    fs::write(files.folder.path().join("tls.crt"), chain).unwrap();
    let expected: Timestamp = "2021-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(read(&files.config(&[])).unwrap().expiry, expected);
}

const TAKEN: &str = "portcullis_tls_reloads_total{listener=\"grpc\",result=\"accepted\"}";
const REFUSED: &str = "portcullis_tls_reloads_total{listener=\"grpc\",result=\"refused\"}";

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_taken_and_broken_ones_are_not() {
    let files = Files::valid();
    let at = |name: &str| files.folder.path().join(name);
    // As Kubernetes mounts a Secret: files behind two links, of which the first is swapped.
    for name in ["..one", "..two"] {
        fs::create_dir(at(name)).unwrap();
        files.authority.server().write(&at(name), "tls");
    }
    let swap = |to: &str| {
        std::os::unix::fs::symlink(to, at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
    };
    swap("..one");
    for name in ["tls.crt", "tls.key"] {
        fs::remove_file(at(name)).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), at(name)).unwrap();
    }
    let greeter = Greeter::start(&files.config(&[]), Limits::default(), &Clock::system()).await;
    let first = greeted_by(&greeter, &files.authority).await.unwrap();
    swap("..two");
    greeter.counted(&format!("{TAKEN} 1")).await;
    let second = greeted_by(&greeter, &files.authority).await.unwrap();
    assert_ne!(first, second);
    // A key that fits nothing.
    fs::write(at("..two/tls.key"), files.authority.server().key).unwrap();
    greeter.counted(&format!("{REFUSED} 1")).await;
    assert_eq!(greeted_by(&greeter, &files.authority).await.unwrap(), second);
    // One that would fail every handshake.
    fs::create_dir(at("..three")).unwrap();
    files
        .authority
        .issue(|params| params.not_after = rcgen::date_time_ymd(2021, 1, 1))
        .write(&at("..three"), "tls");
    swap("..three");
    greeter.counted(&format!("{REFUSED} 2")).await;
    assert_eq!(greeted_by(&greeter, &files.authority).await.unwrap(), second);
    swap("..one");
    greeter.counted(&format!("{TAKEN} 2")).await;
    assert_eq!(greeted_by(&greeter, &files.authority).await.unwrap(), first);
    let expiry = read(&files.config(&[])).unwrap().expiry.as_second();
    let line = "portcullis_tls_certificate_expiry_seconds{listener=\"grpc\"} ";
    assert!(greeter.metrics.render().contains(&format!("{line}{expiry}")), "{}", greeter.metrics.render());
}
