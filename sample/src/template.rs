//! Configuration files with `${NAME}` in them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// `template` with every `${NAME}` replaced. Both a name without a value and a value that no name asks for are errors:
/// either is a typing mistake.
pub fn render(template: &str, values: &BTreeMap<&str, String>) -> Result<String> {
    let mut rendered = String::with_capacity(template.len());
    let mut unused: Vec<&str> = values.keys().copied().collect();
    let mut rest = template;
    while let Some((before, from_name)) = rest.split_once("${") {
        let Some((name, after)) = from_name.split_once('}') else { bail!("a `${{` without its `}}`") };
        let Some(value) = values.get(name) else { bail!("`${{{name}}}` has no value") };
        rendered.push_str(before);
        rendered.push_str(value);
        unused.retain(|unused| *unused != name);
        rest = after;
    }
    if !unused.is_empty() {
        bail!("no `${{{}}}` in the template", unused.join("}`, `${"));
    }
    rendered.push_str(rest);
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_needs_its_value_and_every_value_its_name() {
        type Case =
            (&'static str, &'static [(&'static str, &'static str)], Result<&'static str, &'static str>);
        let cases: [Case; 5] = [
            ("a: ${A}, b: ${B}, a: ${A}", &[("A", "1"), ("B", "2")], Ok("a: 1, b: 2, a: 1")),
            ("no names, $5 and {}", &[], Ok("no names, $5 and {}")),
            ("${A}", &[], Err("`${A}` has no value")),
            ("${A}", &[("A", "1"), ("B", "2"), ("C", "3")], Err("no `${B}`, `${C}` in the template")),
            ("${A", &[("A", "1")], Err("a `${` without its `}`")),
        ];
        for (template, values, expected) in cases {
            let values = values.iter().map(|&(name, value)| (name, value.to_owned())).collect();
            let rendered = render(template, &values).map_err(|error| error.to_string());
            assert_eq!(rendered.as_deref().map_err(String::as_str), expected, "{template}");
        }
    }
}
