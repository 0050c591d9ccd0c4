use super::*;

#[test]
fn ignored_paths_end_at_a_part_of_the_path() {
    let ignored = |text: &str| text.parse::<Ignored>();
    let at = ignored("fail-open@listeners[1]").unwrap();
    for (rule, path, covered) in [
        ("fail-open", "listeners[1].name", true),
        ("fail-open", "listeners[1]", true),
        ("fail-open", "listeners[1][0]", true),
        ("fail-open", "listeners[10].name", false),
        ("fail-open", "listeners", false),
        ("lossy-body", "listeners[1]", false),
    ] {
        assert_eq!(at.covers(rule, path), covered, "{rule} {path}");
    }
    assert!(ignored("fail-open").unwrap().covers("fail-open", "anywhere"));
    assert!(ignored("fail-opne").unwrap_err().contains("did you mean `fail-open`?"));
    assert!(ignored("@a").is_err());
}

const BOOTSTRAP: &str = include_str!("../../../proxy/doctor/tests/ext-authz.yaml");

#[derive(clap::Parser)]
struct Whole {
    #[command(flatten)]
    args: Args,
}

fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
    use clap::Parser as _;
    Whole::try_parse_from([&["doctor"], words].concat()).map(|whole| whole.args)
}

fn code(words: &[&str]) -> String {
    format!("{:?}", run(&parsed(words).unwrap()))
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn exit_codes_tell_clean_findings_and_usage_apart() {
    let folder = tempfile::tempdir().unwrap();
    let clean = written(&folder, "clean.yaml", BOOTSTRAP);
    let open = written(&folder, "open.yaml", &BOOTSTRAP.replace("# filter", "failure_mode_allow: true"));
    let other = written(&folder, "other.yaml", "a: 1\n");
    let broken = written(&folder, "broken.yaml", "a: [1\n");
    assert_eq!(code(&[&clean]), exit(0));
    assert_eq!(code(&[&open]), exit(1));
    assert_eq!(code(&[&open, "--ignore", "fail-open"]), exit(0));
    let filters = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters";
    assert_eq!(code(&[&open, "--ignore", &format!("fail-open@{filters}[0]")]), exit(0));
    assert_eq!(code(&[&open, "--ignore", &format!("fail-open@{filters}[1]")]), exit(1));
    assert_eq!(code(&[&clean, "--cluster", "another"]), exit(1), "nobody asks that one");
    assert_eq!(code(&[&clean, "--envoy-version", "1.39.0"]), exit(1));
    for wrong in [&other, &broken, "/nowhere.yaml", "http://127.0.0.1:1"] {
        assert_eq!(code(&[wrong]), exit(2), "{wrong}");
    }
    assert_eq!(code(&["--explain", "fail-open"]), exit(0));
    assert_eq!(code(&["--explain", "nothing"]), exit(2));
    for wrong in [&["--ignore", "nothing", "x"] as &[_], &["--envoy-version", "new", "x"], &[]] {
        assert_eq!(parsed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}

/// Answers each path with a text, until it is dropped with the test.
fn admin(answers: &'static [(&'static str, &'static str)]) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let found = answers.iter().find(|(known, _)| *known == path);
            let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

#[test]
fn an_admin_port_is_asked_for_its_configuration_and_version() {
    let url = admin(&[
        ("/config_dump?include_eds", r#"{"configs": []}"#),
        ("/server_info", r#"{"version": "x/1.38.3/Clean/RELEASE/BoringSSL", "command_line_options": {}}"#),
    ]);
    let (sources, _) = read::all(std::slice::from_ref(&url)).unwrap();
    let names: Vec<_> = sources.iter().map(|source| source.name.to_string()).collect();
    assert_eq!(names, [format!("{url}/config_dump"), format!("{url}/server_info")]);
    let needs = needs();
    let examined = doctor::examine(&sources, &needs, &Given::default()).unwrap();
    let rules: Vec<_> = examined.findings.iter().map(|finding| finding.rule.id).collect();
    assert_eq!(rules, ["envoy-version", "not-checked"]);
    let missing = read::all(&[format!("{url}/nothing")]).unwrap_err();
    assert!(missing.contains("404") && missing.contains("admin port"), "{missing}");
    let secret = read::all(&["http://user:pass@127.0.0.1:1/x?token=t".to_owned()]).unwrap_err();
    assert!(
        secret.contains("http://127.0.0.1:1/x") && !secret.contains("pass") && !secret.contains("=t"),
        "{secret}"
    );
}

fn needs() -> crate::proxy::Needs {
    let given = crate::cli::envoy::For { config: None, policies: Vec::new() };
    crate::cli::envoy::needs(&given).unwrap()
}

#[test]
fn files_that_a_file_refers_to_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let routes = "resources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: shop, path_config_source: {path: envoy.yaml}}]\n";
    written(&folder, "routes.yaml", routes);
    let text = "static_resources: {listeners: [{rds: {config_source: {path_config_source: {path: routes.yaml}}}}, \
                {rds: {configSource: {pathConfigSource: {path: routes.yaml}}}}, {path_config_source: {path: gone.yaml}}]}\n";
    let file = written(&folder, "envoy.yaml", text);
    let (sources, _) = read::all(&[file]).unwrap();
    let names: Vec<_> = sources.iter().map(|source| source.name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["envoy.yaml", "routes.yaml"]);
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let refers =
        written(&folder, "envoy.yaml", "static_resources: {x: {path_config_source: {path: fifo}}}\n");
    let fifo = fifo.display().to_string();
    for (given, words) in [
        (fifo.clone(), "is no regular file"),
        (refers, "is no regular file"),
        (folder.path().display().to_string(), "is a folder"),
    ] {
        let message = read::all(&[given]).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn files_of_endpoints_secrets_and_runtime_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |name: &str| format!("\"@type\": type.googleapis.com/{name}");
    let resource = |name: &str, more: &str| format!("resources: [{{{}, {more}}}]\n", kind(name));
    for (name, text) in [
        ("eds.yaml", resource("envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name: upstream")),
        ("sds.yaml", resource("envoy.extensions.transport_sockets.tls.v3.Secret", "name: key")),
        ("rtds.yaml", resource("envoy.service.runtime.v3.Runtime", "name: r, layer: {}")),
        ("bare.yaml", "cluster_name: upstream\nendpoints: []\n".to_owned()),
    ] {
        written(&folder, name, &text);
        let refers =
            format!("admin:\n  x: {{eds_config: {{path_config_source: {{path: {name}}}}}}}\n  address:");
        let envoy = written(&folder, "envoy.yaml", &BOOTSTRAP.replace("admin:\n  address:", &refers));
        assert_eq!(read::all(std::slice::from_ref(&envoy)).unwrap().0.len(), 2, "{name}");
        assert_eq!(code(&[&envoy]), exit(0), "{name}");
    }
    let older = "static_resources: {x: {lds_config: {path: eds.yaml}}}\n";
    assert_eq!(read::all(&[written(&folder, "older.yaml", older)]).unwrap().0.len(), 2);
}

#[test]
fn each_format_tells_rule_place_path_and_fix() {
    let open = BOOTSTRAP.replace("# filter", "failure_mode_allow: true");
    let source = crate::proxy::tree::Source::parse("my envoy.yaml", &open).unwrap();
    let mut texts = crate::diagnostic::Sources::default();
    texts.add(&source.name, &source.text);
    let json = serde_json::to_string(&source.roots[0].to_json()).unwrap();
    let dump = crate::proxy::tree::Source::parse("dump.json", &json).unwrap();
    let sources = [source, dump];
    let examined = doctor::examine(&sources, &needs(), &Given::default()).unwrap();
    let shown = |format| show::shown(&examined, format, &texts);
    let path = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.failure_mode_allow";

    let human = shown(show::Format::Human);
    for part in [
        "error[fail-open]",
        path,
        "my envoy.yaml:",
        "failure_mode_allow: true",
        "examined 2 listeners, 4 routes, 2 filters",
        "dump.json: a call passes",
        "listener `gateway`",
    ] {
        assert!(human.contains(part), "{part}: {human}");
    }
    let json: serde_json::Value = serde_json::from_str(&shown(show::Format::Json)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!((json[0]["rule"].as_str(), json[0]["path"].as_str()), (Some("fail-open"), Some(path)));
    assert!(json[0]["line"].is_u64() && json[0]["fix"].is_string() && json[1].get("line").is_none());
    let sarif: serde_json::Value = serde_json::from_str(&shown(show::Format::Sarif)).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(
        run["tool"]["driver"]["rules"][0]["shortDescription"]["text"],
        doctor::by_id("fail-open").unwrap().title
    );
    let location = &run["results"][0]["locations"][0];
    assert_eq!(location["logicalLocations"][0]["fullyQualifiedName"], path);
    assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], "my%20envoy.yaml");
    assert_eq!(run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "dump.json");
    let github = shown(show::Format::Github);
    assert!(github.starts_with("::error file=my envoy.yaml,line="), "{github}");
    assert!(github.lines().nth(1).unwrap().starts_with("::error::fail-open: dump.json: "), "{github}");
}

#[test]
fn an_ignore_that_leaves_nothing_out_is_told() {
    let open = BOOTSTRAP.replace("# filter", "failure_mode_allow: true");
    let source = crate::proxy::tree::Source::parse("envoy.yaml", &open).unwrap();
    let examined = doctor::examine(&[source], &needs(), &Given::default()).unwrap();
    let args = parsed(&[
        "envoy.yaml",
        "--ignore",
        "fail-open",
        "--ignore",
        "http10",
        "--ignore",
        "fail-open@listeners[7]",
    ]);
    let warnings = args.unwrap().unused(&examined);
    assert_eq!(
        warnings,
        "warning: `--ignore http10` leaves nothing out\nwarning: `--ignore fail-open@listeners[7]` leaves nothing out\n"
    );
}

#[test]
fn what_stops_the_doctor_is_called_an_error_once() {
    let folder = tempfile::tempdir().unwrap();
    let broken = written(&folder, "broken.yaml", "a: [1\n");
    let message = read::all(&[broken]).unwrap_err();
    assert!(message.contains("broken.yaml:1:4: ") && !message.contains("error"), "{message}");
}
