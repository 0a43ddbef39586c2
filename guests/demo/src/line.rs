//! The line that is being typed: editing keys and a history.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Longer lines are not taken.
const LONGEST: usize = 200;
/// Lines that are remembered.
const HISTORY: usize = 16;

const CTRL_C: u8 = 0x03;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// A line, and the lines before it.
#[derive(Default)]
pub struct Line {
    text: String,
    history: Vec<String>,
    /// Which line of the history is shown: how many from its end.
    back: usize,
    escape: Escape,
}

/// How much of a key such as "up" (`ESC [ A`) has come.
#[derive(Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Bracket,
}

impl Line {
    /// Takes one key, and writes to `screen` what the terminal has to show.
    /// Returns the line when it is complete; after Ctrl-C an empty one.
    ///
    /// # Errors
    /// Those of the screen.
    pub fn key(&mut self, key: u8, screen: &mut impl Write) -> Result<Option<String>, fmt::Error> {
        if self.escape != Escape::None || key == ESCAPE {
            return self.escaped(key, screen).map(|()| None);
        }
        match key {
            b'\r' | b'\n' => {
                screen.write_str("\n")?;
                return Ok(Some(self.complete()));
            }
            CTRL_C => {
                screen.write_str("^C\n")?;
                self.text.clear();
                return Ok(Some(self.complete()));
            }
            CTRL_U => self.replace("", screen)?,
            BACKSPACE | DELETE if self.text.pop().is_some() => screen.write_str("\x08 \x08")?,
            b' '..=b'~' if self.text.len() < LONGEST => {
                self.text.push(char::from(key));
                screen.write_char(char::from(key))?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn complete(&mut self) -> String {
        let line = core::mem::take(&mut self.text);
        self.back = 0;
        if !line.is_empty() && self.history.last() != Some(&line) {
            if self.history.len() == HISTORY {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        line
    }

    fn escaped(&mut self, key: u8, screen: &mut impl Write) -> fmt::Result {
        self.escape = match (&self.escape, key) {
            (_, ESCAPE) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Bracket,
            // Parameters of keys that mean nothing here.
            (Escape::Bracket, b'0'..=b';') => Escape::Bracket,
            (Escape::Bracket, b'A') => return self.recall(self.back + 1, screen),
            (Escape::Bracket, b'B') => return self.recall(self.back.saturating_sub(1), screen),
            _ => Escape::None,
        };
        Ok(())
    }

    /// Shows the line that is `back` lines before the current one.
    fn recall(&mut self, back: usize, screen: &mut impl Write) -> fmt::Result {
        self.escape = Escape::None;
        if back > self.history.len() {
            return Ok(());
        }
        self.back = back;
        let line = self.history.len().checked_sub(back).and_then(|place| self.history.get(place));
        let line = line.cloned().unwrap_or_default();
        self.replace(&line, screen)
    }

    fn replace(&mut self, line: &str, screen: &mut impl Write) -> fmt::Result {
        for _ in self.text.chars() {
            screen.write_str("\x08 \x08")?;
        }
        self.text.clear();
        self.text.push_str(line);
        screen.write_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types `keys`; returns the complete lines, and what is on the screen.
    fn typed(line: &mut Line, keys: &str) -> (Vec<String>, String) {
        let mut screen = String::new();
        let lines = keys.bytes().filter_map(|key| line.key(key, &mut screen).unwrap()).collect();
        (lines, screen)
    }

    fn lines(keys: &str) -> Vec<String> {
        typed(&mut Line::default(), keys).0
    }

    #[test]
    fn a_line_ends_with_either_end() {
        assert_eq!(lines("ls\rcat a\n\n"), ["ls", "cat a", ""]);
    }

    #[test]
    fn keys_are_echoed_and_taken_back() {
        let (lines, screen) = typed(&mut Line::default(), "lx\x7fs\r");
        assert_eq!((lines.as_slice(), screen.as_str()), (&["ls".to_owned()][..], "lx\x08 \x08s\n"));
        assert_eq!(typed(&mut Line::default(), "\x08\x7f").1, "", "there is nothing to take back");
    }

    #[test]
    fn lines_are_abandoned() {
        assert_eq!(lines("rm all\x03ls\r"), ["", "ls"]);
        assert_eq!(lines("rm all\x15ls\r"), ["ls"]);
    }

    #[test]
    fn lines_come_back_by_the_arrow_keys() {
        let (up, down) = ("\x1b[A", "\x1b[B");
        assert_eq!(lines(&["one\rtwo\r", up, up, "\r"].concat()), ["one", "two", "one"]);
        assert_eq!(lines(&["one\rtwo\r", up, up, up, down, "\r"].concat())[2], "two");
        assert_eq!(lines(&["one\r", up, down, "x\r"].concat()), ["one", "x"]);
        assert_eq!(lines(&[up, "x\r"].concat()), ["x"]);
    }

    #[test]
    fn other_keys_are_ignored() {
        assert_eq!(lines("a\x1b[3~b\x1b[C\x00\tc\u{e4}\r"), ["abc"]);
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut line = Line::default();
        typed(&mut line, &"x".repeat(1000));
        assert_eq!(line.text.len(), LONGEST);
        (0..100).for_each(|number| _ = typed(&mut line, &format!("{number}\r")));
        assert_eq!(line.history.len(), HISTORY);
    }
}
