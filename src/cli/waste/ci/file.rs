//! dive's file of rules, `.dive-ci`: YAML with a mapping `rules`.

use yaml_rust2::{Yaml, YamlLoader};

use super::Rule;
use crate::cli::terminal::shown_bytes;

/// What a file says, by the place of the rule in [`Rule::ALL`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FileRules([Option<String>; 3]);

impl FileRules {
    /// What it says of a rule.
    pub fn get(&self, rule: Rule) -> Option<&str> {
        self.0.get(rule as usize)?.as_deref()
    }
}

/// Reads a file. Names are the same in any case, as they are to dive; what it does not know, it passes over.
///
/// # Errors
/// What is wrong with it: it is no YAML, `rules` is no mapping, a value is no scalar.
pub fn parse(text: &str) -> Result<FileRules, String> {
    let mut rules = FileRules::default();
    let documents = YamlLoader::load_from_str(text).map_err(|error| format!("they are no YAML: {error}"))?;
    let top = match documents.first() {
        None | Some(Yaml::Null) => return Ok(rules),
        Some(Yaml::Hash(top)) => top,
        Some(_) => return Err("a mapping with 'rules:' was expected".to_owned()),
    };
    for (key, value) in top {
        match (key.as_str(), value) {
            (Some(key), Yaml::Hash(mapping)) if key.eq_ignore_ascii_case("rules") => {
                for (key, value) in mapping {
                    let name = scalar(key).unwrap_or_default();
                    let Some(rule) =
                        Rule::ALL.into_iter().find(|rule| rule.name().eq_ignore_ascii_case(&name))
                    else {
                        log::warn!("there is no rule '{}': it is passed over", shown_bytes(name.as_bytes()));
                        continue;
                    };
                    let value = match value {
                        Yaml::Null => None,
                        value => Some(scalar(value).ok_or_else(|| {
                            format!("rule {}: one value was expected, not a list or a mapping", rule.name())
                        })?),
                    };
                    if let Some(slot) = rules.0.get_mut(rule as usize) {
                        *slot = value;
                    }
                }
            }
            (Some(key), Yaml::Null) if key.eq_ignore_ascii_case("rules") => {}
            (Some(key), _) if key.eq_ignore_ascii_case("rules") => {
                return Err("'rules' is no mapping of rules to values".to_owned());
            }
            _ => {
                let key = scalar(key).unwrap_or_default();
                log::warn!("'{}' is not known here: it is passed over", shown_bytes(key.as_bytes()));
            }
        }
    }
    Ok(rules)
}

/// A scalar as it is written.
fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Real(text) | Yaml::String(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(value) => Some(value.to_string()),
        Yaml::Array(_) | Yaml::Hash(_) | Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(of: [Option<&str>; 3]) -> FileRules {
        FileRules(of.map(|one| one.map(str::to_owned)))
    }

    #[test]
    fn a_file_says_what_it_says() {
        for (text, expected) in [
            ("", [None, None, None]),
            ("# nothing yet\n", [None, None, None]),
            ("rules:\n", [None, None, None]),
            (
                "rules:\n  # as dive's README has it\n  lowestEfficiency: 0.95\n  highestWastedBytes: 20MB\n  highestUserWastedPercent: 0.20\n",
                [Some("0.95"), Some("20MB"), Some("0.20")],
            ),
            (
                "rules: {lowestefficiency: 1, highestWastedBytes: disabled}",
                [Some("1"), Some("disabled"), None],
            ),
            (
                "rules:\n  highestUserWastedPercent: off\n  lowestEfficiency: false\n",
                [Some("false"), None, Some("off")],
            ),
            ("rules:\n  highestWastedBytes:\n  another: 1\nplugins: [x]\n", [None, None, None]),
        ] {
            assert_eq!(parse(text), Ok(rules(expected)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_rules_is_refused() {
        for (text, problem) in [
            ("rules: [", "they are no YAML"),
            ("- lowestEfficiency: 1", "a mapping with 'rules:' was expected"),
            ("rules: 0.9", "'rules' is no mapping"),
            ("rules:\n  lowestEfficiency: [0.9]", "rule lowestEfficiency: one value was expected"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(problem), "{text}: {said}");
        }
    }
}
