//! Figures as people read them.

use core::fmt;

/// Bytes, by the largest unit that leaves whole numbers worth reading.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            small @ 0..10_240 => write!(f, "{small} bytes"),
            kibi @ 10_240..10_485_760 => write!(f, "{} KiB", kibi >> 10),
            mebi => write!(f, "{} MiB", mebi >> 20),
        }
    }
}

/// `count` per `of`, with three digits behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// How many.
    pub count: u64,
    /// To how many they belong.
    pub of: u64,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.max(1);
        let thousandths = (u128::from(self.count) * 1000 + u128::from(of / 2)) / u128::from(of);
        write!(f, "{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}

/// Ticks of a clock with `frequency` ticks per second, as microseconds.
#[must_use]
pub fn microseconds(ticks: u64, frequency: u64) -> u64 {
    let value = u128::from(ticks) * 1_000_000 / u128::from(frequency.max(1));
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// How many there would be in a second, if there are `count` in `ticks`.
#[must_use]
pub fn per_second(count: u64, ticks: u64, frequency: u64) -> u64 {
    let value = u128::from(count) * u128::from(frequency) / u128::from(ticks.max(1));
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Fletcher's check sum with 32 bits (RFC 1146, by words of a byte and
/// modulo 65535), by which one sees whether bytes came as they were sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fletcher {
    first: u32,
    second: u32,
}

impl Fletcher {
    /// Takes more bytes into the sum.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.first = (self.first + u32::from(*byte)) % 65_535;
            self.second = (self.second + self.first) % 65_535;
        }
    }

    /// The sum of the bytes so far.
    #[must_use]
    pub fn value(self) -> u32 {
        self.second << 16 | self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let shown = [0, 10_239, 10_240, 64 << 20].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(shown, ["0 bytes", "10239 bytes", "10 KiB", "64 MiB"]);
    }

    #[test]
    fn ratios_are_rounded() {
        let shown = [(2, 1), (1, 3), (2, 3), (0, 0), (u64::MAX, 1)];
        let shown = shown.map(|(count, of)| Ratio { count, of }.to_string());
        assert_eq!(shown, ["2.000", "0.333", "0.667", "0.000", "18446744073709551615.000"]);
    }

    #[test]
    fn sums_know_order_and_pieces() {
        let sum = |pieces: &[&[u8]]| {
            let mut sum = Fletcher::default();
            pieces.iter().for_each(|piece| sum.add(piece));
            sum.value()
        };
        assert_eq!(sum(&[b"ab", b"cd"]), sum(&[b"abcd"]));
        assert_ne!(sum(&[b"abcd"]), sum(&[b"abdc"]));
        assert_eq!(sum(&[b"abc"]), 0x024a_0126);
    }

    #[test]
    fn rates_do_not_overflow() {
        assert_eq!(microseconds(10_000_000, 10_000_000), 1_000_000);
        assert_eq!(microseconds(u64::MAX, 1), u64::MAX);
        assert_eq!((per_second(500, 5_000_000, 10_000_000), per_second(1, 0, 5)), (1000, 5));
    }
}
