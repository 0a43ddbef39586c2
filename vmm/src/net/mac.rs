//! Ethernet addresses.

use core::fmt;
use core::str::FromStr;

/// The address of a network interface, or of a group of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// What interface `number` has when nothing is said: QEMU's own range, of
    /// which its first interface gets number 0.
    pub const fn numbered(number: u8) -> Self {
        Self([0x52, 0x54, 0, 0x12, 0x34, 0x56 + number])
    }

    /// Whether it stands for several interfaces, or for all.
    #[inline]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is no address of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMac;

impl FromStr for Mac {
    type Err = NoMac;

    /// Reads the usual form, six numbers of two hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut mac = Self([0; 6]);
        let mut parts = text.split(':');
        for byte in &mut mac.0 {
            let two_digits =
                |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let part = parts.next().filter(two_digits).ok_or(NoMac)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMac)?;
        }
        let usable = parts.next().is_none() && !mac.is_group() && mac.0 != [0; 6];
        if usable { Ok(mac) } else { Err(NoMac) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn text_and_address_are_the_same() {
        let text = "52:54:00:12:34:5d";
        assert_eq!(text.parse(), Ok(Mac::numbered(7)));
        assert_eq!(Mac::numbered(7).to_string(), text);
    }

    #[test]
    fn what_is_no_interface_is_refused() {
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52:54:00:12:34:5",
            "52:54:00:12:34:+5",
            "52-54-00-12-34-56",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NoMac), "{text}");
        }
    }
}
