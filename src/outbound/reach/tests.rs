use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::diagnostic::innermost;
use crate::outbound::{self, Environment};

fn refused(reach: &Reach, address: &str) -> bool {
    reach.check("host", address.parse().unwrap()).is_err()
}

#[test]
fn private_and_special_addresses_are_refused_in_every_spelling() {
    let public_only = Reach::default();
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.8.8.8",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2001:10::1",
        "2002:0a00:0001::1",
        "2002:7f00:0001::",
        "2002:a9fe:a9fe::1",
        "2607:f8b0::5efe:10.0.0.1",
        "2607:f8b0::200:5efe:127.0.0.1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00::5efe:8.8.8.8",
        "fd00::200:5efe:8.8.8.8",
        "fe80::5efe:8.8.8.8",
        "2001:db8::5efe:8.8.8.8",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fdff::1",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ] {
        assert!(refused(&public_only, address), "{address}");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:0808:0808::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
    ] {
        assert!(!refused(&public_only, address), "{address}");
    }
}

#[test]
fn private_networks_are_reached_where_allowed_and_metadata_only_by_name() {
    let private = Reach { private: true, allowed: vec![] };
    for address in ["10.0.0.1", "127.0.0.1", "100.64.0.1", "fd12::1", "::1", "::ffff:192.168.0.1"] {
        assert!(!refused(&private, address), "{address}");
    }
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ] {
        assert!(refused(&private, address), "{address}");
    }
    let named = Reach { private: false, allowed: vec!["10.1.0.0/16".parse().unwrap()] };
    assert!(!refused(&named, "10.1.2.3") && !refused(&named, "::ffff:10.1.2.3"));
    assert!(refused(&named, "10.2.0.1"));
    let metadata = Reach { private: false, allowed: vec!["169.254.169.254/32".parse().unwrap()] };
    assert!(!refused(&metadata, "169.254.169.254") && refused(&metadata, "169.254.169.253"));
}

#[test]
fn an_address_in_a_url_is_refused_however_it_is_written() {
    let reach = Reach::default();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]", "0"]
    {
        let url = Url::parse(&format!("http://{host}/hook")).unwrap();
        assert!(reach.check_url(&url).is_err(), "{host}");
    }
    assert!(reach.check_url(&Url::parse("https://hooks.example.com/").unwrap()).is_ok());
}

/// Answers any request with 200, and counts connections.
async fn listener() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = socket.write_all(answer).await;
            });
        }
    });
    (address, connections)
}

fn client(
    reach: &Reach,
    addresses: impl Fn(usize) -> Vec<SocketAddr> + Send + Sync + 'static,
) -> GuardedClient {
    let asked = Arc::new(AtomicUsize::new(0));
    let resolver = Resolver::with(reach.clone(), move |_| {
        let found = addresses(asked.fetch_add(1, Ordering::Relaxed));
        async move { Ok(found) }.boxed()
    });
    let client = outbound::builder(None, Duration::from_secs(5)).unwrap();
    let client = client.no_proxy().dns_resolver(resolver).pool_max_idle_per_host(0).build().unwrap();
    GuardedClient { client, reach: reach.clone(), look_ahead: None }
}

#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_not_connected_to() {
    let (address, connections) = listener().await;
    let url = Url::parse(&format!("http://hooks.example.com:{}/", address.port())).unwrap();
    let local = |_| vec![SocketAddr::from(([127, 0, 0, 1], 0))];

    // Where loopback is allowed, the name leads there: the listener works.
    let allowed = Reach { private: true, allowed: vec![] };
    assert!(client(&allowed, local).post(&url).await.unwrap().send().await.unwrap().status().is_success());
    assert_eq!(connections.load(Ordering::Relaxed), 1);

    let guarded = client(&Reach::default(), local);
    let error = guarded.post(&url).await.unwrap().send().await.unwrap_err();
    let words = innermost(&error);
    assert!(
        words.contains("`hooks.example.com` is at 127.0.0.1") && words.contains("allow_private"),
        "{words}"
    );
    assert_eq!(connections.load(Ordering::Relaxed), 1, "no connection was tried");
}

#[tokio::test]
async fn each_connection_asks_anew_and_connects_to_what_was_checked() {
    let (address, connections) = listener().await;
    let url = Url::parse(&format!("http://hooks.example.com:{}/", address.port())).unwrap();
    // The second answer is another one, as with rebinding; of several addresses only the good ones are tried.
    let allowed = Reach { private: false, allowed: vec!["127.0.0.1/32".parse().unwrap()] };
    let rebinding = client(&allowed, |time| match time {
        0 => vec![SocketAddr::from(([10, 0, 0, 1], 0)), SocketAddr::from(([127, 0, 0, 1], 0))],
        _ => vec![SocketAddr::from(([127, 0, 0, 2], 0))],
    });
    assert!(rebinding.post(&url).await.unwrap().send().await.unwrap().status().is_success());
    let error = rebinding.post(&url).await.unwrap().send().await.unwrap_err();
    assert!(innermost(&error).contains("127.0.0.2"), "{}", innermost(&error));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn names_of_this_machine_are_refused_by_the_systems_resolver() {
    let (address, connections) = listener().await;
    let url = Url::parse(&format!("http://localhost:{}/", address.port())).unwrap();
    let guarded = guarded(&url, &Environment::default());
    let error = guarded.post(&url).await.unwrap().send().await.unwrap_err();
    assert!(innermost(&error).contains("`localhost` is at"), "{}", innermost(&error));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

fn guarded(url: &Url, environment: &Environment) -> GuardedClient {
    outbound::guarded_client(url, None, Duration::from_secs(5), Reach::default(), environment).unwrap()
}

/// A proxy that notes what it is asked for, and connects nobody.
async fn proxy() -> (SocketAddr, Arc<parking_lot::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<parking_lot::Mutex<Vec<String>>>::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let count = socket.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            noted.lock().push(text.lines().next().unwrap_or_default().to_owned());
            let _ = socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_wherever_it_is_and_not_for_what_may_not_be_reached() {
    let (address, asked) = proxy().await;
    // By a name of this machine: the proxy is the operator's word.
    let environment = |except: &str| {
        Environment::read(|name| match name {
            "HTTPS_PROXY" => Some(format!("http://localhost:{}", address.port())),
            "NO_PROXY" => Some(except.to_owned()),
            _ => None,
        })
    };
    let url = |text: &str| Url::parse(text).unwrap();
    let hook = url("https://hooks.invalid/services/x");
    let through = guarded(&hook, &environment(""));
    assert!(through.post(&hook).await.unwrap().send().await.is_err());
    assert_eq!(*asked.lock(), ["CONNECT hooks.invalid:443 HTTP/1.1"]);
    for refused in [
        "https://localhost/x",
        "https://10.0.0.1/x",
        "https://[::ffff:169.254.169.254]/",
        "https://2130706433/",
    ] {
        let target = url(refused);
        let through = guarded(&target, &environment(""));
        assert!(through.post(&target).await.is_err(), "{refused}");
    }
    // Past the proxy, and in the clear, connections are checked as ever.
    let past = guarded(&hook, &environment("hooks.invalid"));
    assert!(past.post(&hook).await.unwrap().send().await.is_err());
    let local = url("http://localhost:1/x");
    let clear = guarded(&local, &environment(""));
    let error = clear.post(&local).await.unwrap().send().await.unwrap_err();
    assert!(innermost(&error).contains("`localhost` is at"), "{}", innermost(&error));
    assert_eq!(asked.lock().len(), 1);
}

/// Key sets, introspection, bundles and logins are often private on purpose, and never where clouds hand out credentials.
#[tokio::test]
async fn no_callout_goes_to_a_metadata_service() {
    let (address, connections) = listener().await;
    let url = Url::parse(&format!("http://issuer.example.com:{}/", address.port())).unwrap();
    for (found, good) in [
        ("169.254.169.254", false),
        ("fe80::1", false),
        ("::ffff:169.254.169.254", false),
        ("64:ff9b::a9fe:a9fe", false),
        ("2002:a9fe:a9fe::1", false),
        ("fd00:ec2::254", false),
        ("127.0.0.1", true),
    ] {
        let found = SocketAddr::new(found.parse().unwrap(), 0);
        let lookup = Resolver::with(Reach::default(), move |_| async move { Ok(vec![found]) }.boxed());
        let resolver = Resolver { reach: None, ..lookup };
        let client = outbound::builder(None, Duration::from_secs(5)).unwrap().no_proxy();
        let client = client.dns_resolver(resolver).build().unwrap();
        let sent = client.get(url.clone()).send().await;
        assert_eq!(sent.is_ok(), good, "{found}");
        assert!(good || innermost(&sent.unwrap_err()).contains("metadata service"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}
