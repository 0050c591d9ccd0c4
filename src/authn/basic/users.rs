//! The file of users: `name:$argon2id$...:group1,group2:person`, one to a line; person and groups may be left out. Blank
//! lines, and lines that begin with `#`, are skipped.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place};
use crate::effect::person_key;

use super::password::{Hash, Parameters};

/// Who has a password.
pub struct Users {
    users: HashMap<String, User>,
    /// What the passwords of unknown names are compared with.
    nothing: Hash,
}

struct User {
    hash: Hash,
    known: Known,
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub groups: Vec<String>,
    /// The human being behind the name.
    pub person: Option<String>,
}

/// Where a piece of the file stands.
struct At<'t> {
    file: &'t Arc<str>,
    line: usize,
    /// Of the line, in bytes.
    offset: usize,
}

impl Users {
    /// Reads the text of `file`: everything that is wrong with it, with its place and without any hash.
    pub fn parse(file: &Arc<str>, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut users = HashMap::new();
        let mut findings = Vec::new();
        let mut offset = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let at = At { file, line: number + 1, offset };
            offset += line.len();
            let line = line.trim_end_matches(['\n', '\r']);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match read(line, &at) {
                Ok((name, _)) if users.contains_key(name) => {
                    let message = format!("user `{name}` is already in the file");
                    findings.push(Diagnostic::error("duplicate-user", message).at(at.place(line, name)));
                }
                Ok((name, user)) => {
                    users.insert(name.to_owned(), user);
                }
                Err(finding) => findings.push(finding),
            }
        }
        let Some(nothing) = Hash::of_nothing(usual(&users)) else {
            findings.push(Diagnostic::error("broken-cryptography", "no hash of a password can be made"));
            return Err(findings);
        };
        if findings.is_empty() { Ok(Self { users, nothing }) } else { Err(findings) }
    }

    /// What is known of `name`, if `password` is theirs. Unknown names are compared too, by `is_of`, so that the time that
    /// it takes does not tell who is known.
    pub fn check(
        &self,
        name: &str,
        password: &[u8],
        is_of: impl FnOnce(&Hash, &[u8]) -> bool,
    ) -> Option<&Known> {
        let user = self.users.get(name);
        let fits = is_of(user.map_or(&self.nothing, |user| &user.hash), password);
        user.filter(|_| fits).map(|user| &user.known)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// How many of the users name no person.
    pub fn nameless(&self) -> usize {
        self.users.values().filter(|user| user.known.person.is_none()).count()
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }
}

/// The parameters that most hashes have; of several, the dearest.
fn usual(users: &HashMap<String, User>) -> Parameters {
    let mut counts = HashMap::<Parameters, usize>::new();
    for user in users.values() {
        *counts.entry(user.hash.parameters()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(parameters, count)| (*count, *parameters)).unwrap_or_default().0
}

fn read<'l>(line: &'l str, at: &At<'_>) -> Result<(&'l str, User), Diagnostic> {
    let Some((name, rest)) = line.split_once(':') else {
        let finding = Diagnostic::error(
            "invalid-user",
            "a line is `name:hash`, `name:hash:group1,group2` or `name:hash:group1,group2:person`",
        );
        return Err(finding.at(at.place(line, "")));
    };
    if !is_name(name) {
        let message = "a user's name must not be empty, nor have control characters or spaces around it";
        return Err(Diagnostic::error("invalid-user", message).at(at.place(line, name)));
    }
    let mut fields = rest.splitn(3, ':');
    let (hash, groups) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let person = fields.next();
    let parsed = Hash::parse(hash).map_err(|unusable| {
        let message = format!("user `{name}`: {unusable}");
        let help = "make it with `portcullis token hash-password`; 19 MiB and 2 passes are the least \
                    (m=19456,t=2), 256 MiB the most";
        Diagnostic::error("invalid-password-hash", message).at(at.place(line, hash)).help(help)
    })?;
    let groups: Vec<&str> = if groups.is_empty() { Vec::new() } else { groups.split(',').collect() };
    if let Some(group) = groups.iter().find(|group| !is_name(group)) {
        let message = format!("user `{name}`: a group must not be empty, nor have spaces around it");
        return Err(Diagnostic::error("invalid-group", message).at(at.place(line, group)));
    }
    if let Some(person) =
        person.filter(|person| !is_name(person) || person.contains(':') || person_key(person).is_empty())
    {
        let message =
            format!("user `{name}`: a person must not be empty, nor have colons in it or spaces around it");
        return Err(Diagnostic::error("invalid-person", message).at(at.place(line, person)));
    }
    let groups = groups.into_iter().map(str::to_owned).collect();
    Ok((name, User { hash: parsed, known: Known { groups, person: person.map(str::to_owned) } }))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.chars().any(char::is_control)
}

impl At<'_> {
    /// Where `part`, which is a piece of `line`, stands.
    fn place(&self, line: &str, part: &str) -> Place {
        let within = (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize);
        let within = within.filter(|within| *within <= line.len()).unwrap_or(0);
        let column = line.get(..within).unwrap_or_default().chars().count() + 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: self.file.clone(),
            line: narrow(self.line),
            column: narrow(column),
            offset: self.offset + within,
            len: part.len(),
        }
    }
}
