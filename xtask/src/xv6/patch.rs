//! What a patch says: which files of ours go into the tree, and where xv6's
//! own files call them.
//!
//! A patch holds no text of xv6. It says where lines belong by the name of a
//! function, a variable or a rule, and so fits wherever that name is there
//! once, whatever else has changed.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{Context, Result, broken};

/// One file of the series.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// What it does, in a few words.
    pub(super) title: String,
    /// Files of ours, by where they go.
    #[serde(default)]
    pub(super) copy: Vec<String>,
    /// Lines in xv6's files.
    #[serde(default)]
    pub(super) insert: Vec<Insert>,
}

/// Lines to be inserted in a file of xv6's.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Insert {
    pub(super) file: String,
    /// The lines.
    lines: String,
    /// In this function: behind its opening brace, or behind the line that
    /// has the word `after`.
    function: Option<String>,
    after: Option<String>,
    /// Not at all if the function has this word already.
    unless: Option<String>,
    /// In a makefile: before the rule for this target.
    rule: Option<String>,
}

/// Where lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Before the line of this number, from 0.
    Before(usize),
    /// Nowhere: the tree does by itself what they are for.
    Needless,
}

impl Insert {
    /// The lines, each with its end.
    pub(super) fn text(&self) -> String {
        format!("{}\n", self.lines.trim_end_matches('\n'))
    }

    /// Whether a tree may do without the lines.
    pub(super) fn may_be_needless(&self) -> bool {
        self.unless.is_some()
    }

    /// Where the lines go in `text`; or what is not there exactly once.
    pub(super) fn place(&self, text: &str) -> std::result::Result<Place, String> {
        let lines: Vec<&str> = text.lines().collect();
        if let Some(target) = &self.rule {
            let colon = format!("{target}:");
            let rules = matching(&lines, 0..lines.len(), |line| line.starts_with(&colon));
            return only(&rules, &format!("rule for {target}")).map(Place::Before);
        }
        let Some(name) = &self.function else { return Ok(Place::Before(0)) };
        let begins = matching(&lines, 0..lines.len(), |line| is_head(line, name));
        let bodies: Vec<_> = begins.iter().filter_map(|head| body(&lines, *head)).collect();
        let body = only(&bodies, &format!("function {name}"))?;
        let has = |line: &str, word: &str| words(line).any(|other| other == word);
        if let Some(word) = &self.unless
            && lines[body.clone()].iter().any(|line| has(line, word))
        {
            return Ok(Place::Needless);
        }
        let Some(word) = &self.after else { return Ok(Place::Before(body.start)) };
        let uses = matching(&lines, body, |line| has(line, word) && line.ends_with(';'));
        only(&uses, &format!("statement with {word} in {name}()"))
            .map(|line| Place::Before(line + 1))
    }
}

fn matching(
    lines: &[&str],
    range: std::ops::Range<usize>,
    fits: impl Fn(&str) -> bool,
) -> Vec<usize> {
    range.filter(|number| lines.get(*number).is_some_and(|line| fits(line))).collect()
}

fn only<T: Clone>(found: &[T], what: &str) -> std::result::Result<T, String> {
    match found {
        [one] => Ok(one.clone()),
        [] => Err(format!("it has no {what}")),
        several => Err(format!("it has {} times a {what}", several.len())),
    }
}

/// The identifiers of a line; what is behind `//` is none of the program.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or(line);
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Whether a line begins a declaration or definition of a function: as xv6
/// has them, at the start of the line, perhaps with the type before the name.
fn is_head(line: &str, name: &str) -> bool {
    let before = line.split('(').next().unwrap_or("");
    let starts = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && line.contains('(') && words(before).last() == Some(name)
}

/// The lines between the braces of the definition that begins at `head`;
/// `None` if it is only a declaration.
fn body(lines: &[&str], head: usize) -> Option<std::ops::Range<usize>> {
    let brace = (head..lines.len()).find(|number| lines[*number].contains(['{', ';']))?;
    if !lines[brace].trim_end().ends_with('{') {
        return None;
    }
    let end = (brace..lines.len()).find(|number| lines[*number].starts_with('}'))?;
    Some(brace + 1..end)
}

/// The series in `dir`, in its order.
pub(super) fn series(dir: &Path) -> Result<Vec<Patch>> {
    let entries = fs::read_dir(dir).context(format!("list {}", dir.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: &Path| {
        let text = fs::read_to_string(path).context(format!("read {}", path.display()))?;
        toml::from_str(&text).map_err(|error| broken(format!("{}: {error}", path.display())))
    };
    paths.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
int wanted(int);

// wanted( in a comment
int
wanted(int a,
       int b)
{
  call();  // not call here
  other(call_too, 1);
}

void unwanted(void) { call(); }
static int one(void) {
  call();
  call();
  wfi();
}
";

    fn insert(rest: &str) -> Insert {
        toml::from_str(&format!("file = 'f'\nlines = 'x'\n{rest}")).unwrap()
    }

    #[test]
    fn functions_are_found_by_their_definition() {
        let place = insert("function = 'wanted'").place(TEXT);
        assert_eq!(place, Ok(Place::Before(7)), "not by declaration or comment");
        assert_eq!(insert("function = 'one'").place(TEXT), Ok(Place::Before(13)));
        assert_eq!(insert("").place(TEXT), Ok(Place::Before(0)));
    }

    #[test]
    fn statements_are_found_by_whole_words() {
        let after = |word: &str, function: &str| {
            insert(&format!("function = '{function}'\nafter = '{word}'")).place(TEXT)
        };
        assert_eq!(after("call_too", "wanted"), Ok(Place::Before(9)));
        assert_eq!(
            after("call", "one").unwrap_err(),
            "it has 2 times a statement with call in one()"
        );
        assert_eq!(after("wfi", "wanted").unwrap_err(), "it has no statement with wfi in wanted()");
        assert_eq!(after("call", "gone").unwrap_err(), "it has no function gone");
    }

    #[test]
    fn what_is_there_already_is_not_needed() {
        let unless = |word: &str| {
            insert(&format!("function = 'one'\nunless = '{word}'")).place(TEXT).unwrap()
        };
        assert_eq!((unless("wfi"), unless("other")), (Place::Needless, Place::Before(13)));
    }

    #[test]
    fn rules_are_found_by_their_target() {
        let makefile = "A = 1\n$K/kernel: $(OBJS)\n\tld\nx.img: a\ny: x.img\nz:\nz:\n";
        let place = |target: &str| insert(&format!("rule = '{target}'")).place(makefile);
        assert_eq!(
            (place("$K/kernel"), place("x.img")),
            (Ok(Place::Before(1)), Ok(Place::Before(3)))
        );
        assert_eq!(place("z").unwrap_err(), "it has 2 times a rule for z");
    }

    #[test]
    fn the_series_of_the_repository_is_well_formed() {
        let dir = crate::workspace::root().join(super::super::PATCHES);
        let series = series(&dir).unwrap();
        assert!(series.len() > 3);
        for patch in &series {
            assert!(!patch.title.is_empty() && !patch.insert.is_empty());
            let elsewhere = |file: &str| super::super::ELSEWHERE.iter().any(|(n, _)| *n == file);
            for file in patch.copy.iter().filter(|file| !elsewhere(file)) {
                assert!(dir.join("files").join(file).is_file(), "{file}");
            }
        }
    }
}
