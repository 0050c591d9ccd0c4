//! The header `x-forwarded-client-cert`: what proxies say of the certificates that they were shown.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>
//!
//! Knows the grammar; whom to believe is `peer`'s business.

/// The most elements that are read: a longer way through proxies is a forgery.
const MAX_ELEMENTS: usize = 32;

/// What one proxy says of the client that called it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The URI SANs of the client's certificate.
    pub uris: Vec<String>,
    /// Its DNS SANs.
    pub dns: Vec<String>,
    pub subjects: Vec<String>,
}

/// The header is not what Envoy writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header is not of the form that Envoy writes")]
pub struct Malformed;

/// The elements of the header, the oldest first. Keys may come in any case; unknown ones are read over.
pub fn parse(header: &str) -> Result<Vec<Element>, Malformed> {
    let mut rest = header;
    let mut elements = Vec::new();
    loop {
        let mut element = Element::default();
        loop {
            let (key, after) = rest.split_once('=').ok_or(Malformed)?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(Malformed);
            }
            let (value, after) = value(after)?;
            element.take(key, value);
            match after.strip_prefix(';') {
                Some(after) => rest = after,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        elements.push(element);
        if rest.is_empty() {
            return Ok(elements);
        }
        rest = rest.strip_prefix(',').ok_or(Malformed)?;
        if elements.len() == MAX_ELEMENTS {
            return Err(Malformed);
        }
    }
}

impl Element {
    fn take(&mut self, key: &str, value: String) {
        // Envoy writes `URI=` also for a certificate without any.
        let values = match key.to_ascii_lowercase().as_str() {
            "uri" => &mut self.uris,
            "dns" => &mut self.dns,
            "subject" => &mut self.subjects,
            _ => return,
        };
        if !value.is_empty() {
            values.push(value);
        }
    }
}

/// A value and what follows it: in double quotes, where `\` takes the next character as it is; or plain, where none of
/// `,;="` may stand.
fn value(text: &str) -> Result<(String, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(Malformed)?;
        let sound = value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '=' | '"' | '\\'));
        return if sound { Ok((value.to_owned(), rest)) } else { Err(Malformed) };
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(Malformed)? {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(chars.next().filter(|c| !c.is_control()).ok_or(Malformed)?),
            c if c.is_control() => return Err(Malformed),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uris(header: &str) -> Vec<Vec<String>> {
        parse(header).unwrap().into_iter().map(|element| element.uris).collect()
    }

    /// The examples of Envoy's documentation.
    #[test]
    fn what_envoy_documents_is_read() {
        let one = "By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;\
                   Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://testclient.lyft.com";
        let element = &parse(one).unwrap()[0];
        assert_eq!(element.uris, ["http://testclient.lyft.com"]);
        assert_eq!(element.subjects, ["/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client"]);
        let two = format!(
            "{one},By=http://backend.lyft.com;Hash=9ba61d6425303443c0748a02dd8de688468ed33be74eee6556d90c0149c1309e;\
             Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://frontend.lyft.com"
        );
        assert_eq!(uris(&two), [["http://testclient.lyft.com"], ["http://frontend.lyft.com"]]);
        let dns = "By=http://frontend.lyft.com;Hash=46;Subject=\"/CN=x\";URI=;DNS=lyft.com;DNS=www.lyft.com";
        assert_eq!(parse(dns).unwrap()[0].dns, ["lyft.com", "www.lyft.com"]);
        assert!(parse(dns).unwrap()[0].uris.is_empty());
    }

    #[test]
    fn what_stands_in_quotes_separates_nothing() {
        let quoted = r#"By=spiffe://a/b;Subject="CN=x,URI=spiffe://a/admin;URI=spiffe://a/root \"y\"";URI=spiffe://a/c"#;
        let elements = parse(quoted).unwrap();
        assert_eq!((elements.len(), &*elements[0].uris), (1, &["spiffe://a/c".to_owned()][..]));
        assert_eq!(elements[0].subjects, [r#"CN=x,URI=spiffe://a/admin;URI=spiffe://a/root "y""#]);
    }

    #[test]
    fn keys_come_in_any_case_and_several_uris_are_several() {
        assert_eq!(uris("uri=a;Uri=b"), [["a", "b"]]);
    }

    #[test]
    fn anything_else_is_no_such_header() {
        for bad in [
            "",
            ",",
            ";",
            "URI",
            "=x",
            "URI=a,",
            "URI=a;",
            "URI=a,,URI=b",
            "URI=a;;By=b",
            "URI=a=b",
            "URI=a b",
            " URI=a",
            "URI=a, URI=b",
            "URI=\"a",
            "URI=\"a\"b",
            "URI=a\"b\"",
            "URI=\"a\\",
            "URI=a\0",
            "URI=\"a\0\"",
            "URI=\"a\\\0\"",
            "URI=é",
            "U RI=a",
            "URI.=a",
        ] {
            assert_eq!(parse(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(parse(&["URI=a"; 33].join(",")), Err(Malformed));
        assert_eq!(parse(&["URI=a"; 32].join(",")).unwrap().len(), 32);
    }

    proptest! {
        /// Whatever a certificate's names hold, quoting keeps it in its place.
        #[test]
        fn a_quoted_text_is_read_back(text in "[^\\p{Cc}]{0,40}", after in "[a-z:/]{1,10}") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let elements = parse(&format!("Subject=\"{quoted}\";URI={after}")).unwrap();
            prop_assert_eq!(elements.len(), 1);
            prop_assert_eq!(&elements[0].uris, &[after]);
            prop_assert_eq!(elements[0].subjects.concat(), text);
        }

        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
