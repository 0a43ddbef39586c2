//! What typed bytes mean: nearly all go to the guest; the escape key makes
//! the next one a command.

use alloc::format;
use alloc::string::String;

/// What a typed byte asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// Goes to the guest in focus.
    Type(u8),
    /// The next guest that is on gets the focus.
    Next,
    /// The guest of that number does, counted from 0.
    Focus(usize),
    /// Shows all guests.
    List,
    /// Shows the exits of the guest in focus.
    Exits,
    /// Pauses it, or lets it go on.
    Pause,
    /// Asks it for more of its memory.
    Shrink,
    /// Asks it for less.
    Grow,
    /// Resets it.
    Reset,
    /// Powers it off.
    Off,
    /// Shows the keys.
    Help,
    /// Is no key.
    Unknown,
}

/// The keys, with what they do.
const KEYS: [(&str, &str); 9] = [
    ("n", "type to the next guest"),
    ("1-8", "type to the guest of that number"),
    ("l", "list the guests"),
    ("e", "exits of this guest by cause"),
    ("p", "pause this guest, or let it go on"),
    ("- +", "ask for an eighth of its memory, or give an eighth back"),
    ("r", "reset it"),
    ("o", "power it off"),
    ("?", "this list"),
];

/// The state between two bytes.
pub(in crate::machine) struct Keys {
    /// `None`: all bytes go to the guest.
    escape: Option<u8>,
    /// The last byte was the escape key.
    escaped: bool,
}

impl Keys {
    pub(in crate::machine) fn new(escape: Option<u8>) -> Self {
        Self { escape, escaped: false }
    }

    /// Takes the next byte; `None`: it was the escape key, and what it means
    /// the next one says.
    pub(super) fn take(&mut self, byte: u8) -> Option<Command> {
        let is_escape = Some(byte) == self.escape;
        if !core::mem::take(&mut self.escaped) {
            self.escaped = is_escape;
            return (!is_escape).then_some(Command::Type(byte));
        }
        Some(match byte {
            _ if is_escape => Command::Type(byte),
            b'n' => Command::Next,
            b'1'..=b'8' => Command::Focus(usize::from(byte - b'1')),
            b'l' => Command::List,
            b'e' => Command::Exits,
            b'p' => Command::Pause,
            b'-' => Command::Shrink,
            b'+' => Command::Grow,
            b'r' => Command::Reset,
            b'o' => Command::Off,
            b'?' | b'h' => Command::Help,
            _ => Command::Unknown,
        })
    }

    /// The name of the escape key: `Ctrl-]` is 29.
    pub(super) fn name(&self) -> String {
        let letter = char::from(self.escape.unwrap_or(0) | 0x40);
        format!("Ctrl-{letter}")
    }

    /// All keys, a line each.
    pub(super) fn help(&self) -> String {
        let name = self.name();
        let mut text = format!("after {name}:\n");
        for (key, what) in KEYS {
            text.push_str(&format!("  {key:<8} {what}\n"));
        }
        text.push_str(&format!("  {name:<8} {name} itself, for this guest\n"));
        text.push_str("Ctrl-A x is QEMU's, and ends the machine.\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control and `]`.
    const ESCAPE: u8 = 0x1d;

    fn commands(keys: &mut Keys, typed: &[u8]) -> Vec<Command> {
        typed.iter().filter_map(|byte| keys.take(*byte)).collect()
    }

    #[test]
    fn bytes_are_the_guest_s_until_the_escape_key() {
        let mut keys = Keys::new(Some(ESCAPE));
        let typed = commands(&mut keys, b"nl\x1dnx\x1d3\x1dl");
        let [n, l, x] = b"nlx".map(Command::Type);
        assert_eq!(typed, [n, l, Command::Next, x, Command::Focus(2), Command::List]);
    }

    #[test]
    fn the_escape_key_twice_is_one_for_the_guest() {
        let mut keys = Keys::new(Some(ESCAPE));
        let typed = commands(&mut keys, b"\x1d\x1d\x1d\x1d\x1dp\x1d\x1bp");
        let own = Command::Type(ESCAPE);
        let [p] = b"p".map(Command::Type);
        assert_eq!(typed, [own, own, Command::Pause, Command::Unknown, p]);
    }

    #[test]
    fn without_an_escape_key_everything_is_the_guest_s() {
        let mut keys = Keys::new(None);
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let typed = commands(&mut keys, &all);
        assert!(typed.into_iter().eq(all.into_iter().map(Command::Type)));
    }

    /// Each key of the list does something, and nothing else does.
    #[test]
    fn the_list_of_keys_is_complete() {
        let mut keys = Keys::new(Some(5));
        let known: Vec<u8> = (b'!'..=b'~')
            .filter(|key| commands(&mut keys, &[5, *key]) != [Command::Unknown])
            .collect();
        assert_eq!(known, b"+-12345678?ehlnopr", "h is ? for those who do not look");
        let help = keys.help();
        for (key, what) in KEYS {
            assert!(help.contains(&format!("  {key:<8} {what}\n")), "{help}");
        }
        assert!(help.starts_with("after Ctrl-E:\n"), "{help}");
    }
}
