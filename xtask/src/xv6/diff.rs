//! Insertions as an ordinary unified diff.

use std::fmt::Write;

use super::tree::Change;

/// Lines that are shown around a change.
const CONTEXT: usize = 3;

/// What changed in a file. Lines are only ever inserted, so there is nothing
/// to be searched for.
pub(super) fn unified(change: &Change) -> String {
    let before: Vec<&str> = change.before.lines().collect();
    let mut out = format!("--- a/{0}\n+++ b/{0}\n", change.file);
    // How many lines were inserted before the hunk at hand.
    let mut shift = 0;
    for hunk in hunks(&change.inserted) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let begin = first.0.saturating_sub(CONTEXT);
        let end = (last.0 + CONTEXT).min(before.len());
        let added: usize = hunk.iter().map(|(_, text)| text.lines().count()).sum();
        let (from, to) = (begin + 1, begin + 1 + shift);
        let len = end - begin;
        let _ = writeln!(out, "@@ -{from},{len} +{to},{} @@", len + added);
        let shown = before.get(begin..end).unwrap_or_default();
        for (number, line) in (begin..).zip(shown.iter().map(Some).chain([None])) {
            for (_, text) in hunk.iter().filter(|(at, _)| *at == number) {
                text.lines().for_each(|line| _ = writeln!(out, "+{line}"));
            }
            if let Some(line) = line {
                let _ = writeln!(out, " {line}");
            }
        }
        shift += added;
    }
    out
}

/// Insertions that are so near to each other that they share their context.
fn hunks(inserted: &[(usize, String)]) -> impl Iterator<Item = &[(usize, String)]> {
    inserted.chunk_by(|one, next| next.0 - one.0 <= 2 * CONTEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertions_are_told_as_diff_tells_them() {
        let before = (1..=20).map(|n| format!("{n}\n")).collect::<String>();
        let inserted = vec![(0, "a\n".into()), (2, "b\nc\n".into()), (15, "d\n".into())];
        let change = Change { file: "f".into(), before, after: String::new(), inserted };
        let expected = "--- a/f\n+++ b/f\n@@ -1,5 +1,8 @@\n+a\n 1\n 2\n+b\n+c\n 3\n 4\n 5\n\
                        @@ -13,6 +16,7 @@\n 13\n 14\n 15\n+d\n 16\n 17\n 18\n";
        assert_eq!(unified(&change), expected);
    }
}
