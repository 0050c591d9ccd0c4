//! `portcullis token hash-password`: a line for the file of `identity.basic`. The password never stands on a command
//! line, where every process of the machine could read it.

use std::io::{IsTerminal as _, Read};
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::authn::{hash_password, user_line};

pub(super) const EXAMPLE: &str = "Examples:\n  portcullis token hash-password --user ana --groups staff,ops --person ana@example.com >> users\n  \
                                  portcullis token hash-password < password.txt";
const MAX_PASSWORD: u64 = 1_024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a whole line for this user; else the hash alone.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user's groups, separated by commas.
    #[arg(long, value_name = "GROUPS", requires = "user", default_value = "")]
    groups: String,
    /// The person behind the name, as tokens name them (`claims.person`): nobody approves their own call.
    #[arg(long, value_name = "PERSON", requires = "user", default_value = "")]
    person: String,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() { ask() } else { read(stdin.lock()) };
    match password.and_then(|password| line(args, &password)) {
        Ok(line) => {
            anstream::println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            anstream::eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks twice, and shows nothing of what is typed.
fn ask() -> Result<Zeroizing<String>, String> {
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map(Zeroizing::new)
            .map_err(|error| format!("can't read the password: {error}"))
    };
    let (first, second) = (prompt("Password: ")?, prompt("Again: ")?);
    if first == second { Ok(first) } else { Err("the passwords differ".to_owned()) }
}

/// All of the input, a line break at its end left off.
fn read(input: impl Read) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = input.take(MAX_PASSWORD + 3).read_to_end(&mut bytes);
    read.map_err(|error| format!("can't read the password from standard input: {error}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "the password is not UTF-8")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn line(args: &Args, password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if u64::try_from(password.len()).is_ok_and(|len| len > MAX_PASSWORD) {
        return Err(format!("the password is longer than {MAX_PASSWORD} bytes"));
    }
    if password.chars().any(char::is_control) {
        return Err("the password has a control character, which HTTP Basic can't send".to_owned());
    }
    match &args.user {
        Some(user) => user_line(user, password, &args.groups, &args.person),
        None => hash_password(password.as_bytes()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(user: Option<&str>, groups: &str, input: &[u8]) -> Result<String, String> {
        let args = Args { user: user.map(str::to_owned), groups: groups.into(), person: String::new() };
        line(&args, &read(input)?)
    }

    #[test]
    fn a_line_holds_name_hash_and_groups() {
        let line = made(Some("ana"), "staff,ops", b"s3cr3t\n").unwrap();
        let parts: Vec<_> = line.split(':').collect();
        assert!(matches!(&parts[..], ["ana", _, "staff,ops"]), "{line}");
        assert!(parts[1].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{line}");
        assert!(made(None, "", b"s3cr3t").unwrap().starts_with("$argon2id$"));
        assert!(made(Some("bob"), "", b"s3cr3t\r\n").unwrap().starts_with("bob:$argon2id$"));
    }

    #[test]
    fn the_person_is_the_last_field_also_without_groups() {
        for (groups, person, end) in [("staff", "ana@x", ":staff:ana@x"), ("", "ana@x", "::ana@x")] {
            let args = Args { user: Some("ana".into()), groups: groups.into(), person: person.into() };
            let line = line(&args, "s3cr3t").unwrap();
            assert!(line.ends_with(end), "{line}");
        }
        for person in ["a:b", " a", "a\nb"] {
            let args = Args { user: Some("ana".into()), groups: String::new(), person: person.into() };
            let error = line(&args, "s3cr3t").unwrap_err();
            assert!(error.contains("person"), "{person:?}: {error}");
        }
    }

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_the_password() {
        for (input, password) in [("a\n", "a"), ("a\r\n", "a"), ("a ", "a "), ("a", "a"), ("a\n\n", "a\n")] {
            assert_eq!(&**read(input.as_bytes()).unwrap(), password, "{input:?}");
        }
    }

    #[test]
    fn what_could_never_be_used_is_refused() {
        let long = "a".repeat(1_025);
        for (user, groups, input, expected) in [
            (Some("ana"), "", "", "empty"),
            (Some("ana"), "", "\n", "empty"),
            (Some("ana"), "", &*long, "longer than 1024 bytes"),
            (Some("ana"), "", "a\tb", "control character"),
            (Some("a:b"), "", "s", "hash"),
            (Some("#ana"), "", "s", "must not begin with `#`"),
            (Some(""), "", "s", "name must not be empty"),
            (Some("ana\nbob"), "", "s", "name"),
            (Some("ana"), "a,,b", "s", "a group must not be empty"),
            (Some("ana"), "a:b", "s", "a group must not have a colon"),
        ] {
            let error = made(user, groups, input.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{user:?} {groups:?}: {error}");
        }
        assert!(made(None, "", b"\xff").unwrap_err().contains("not UTF-8"));
    }
}
