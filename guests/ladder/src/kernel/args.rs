//! The command line: `suite=disks driver=pv wait=poll ms=100 sizes=512,4096 depths=1,8
//! patterns=sequential`.

use probes::bootargs::value;

/// What to measure.
pub(crate) struct Args {
    /// Which devices: `disks`, `console` or `network`.
    pub(crate) suite: &'static str,
    /// Which driver: `ata`, `uart`, `virtio`, `bridge`, `sync` or `pv`.
    pub(crate) driver: &'static str,
    /// `wait=poll`: completions are looked for; else they interrupt.
    pub(crate) polls: bool,
    /// `role=answers`: it is the gateway that another guest talks to.
    pub(crate) answers: bool,
    /// `role=asks`: that is who it talks to, and it says goodbye.
    pub(crate) asks: bool,
    /// How long one combination is measured, in milliseconds.
    pub(crate) ms: u64,
    /// How many requests it has at most.
    pub(crate) ops: u64,
    /// And how many bytes, rounded up to a few requests.
    pub(crate) bytes: u64,
    /// Bytes of requests.
    pub(crate) sizes: List,
    /// `patterns=sequential`: no others.
    pub(crate) sequential: bool,
    /// Requests at once.
    pub(crate) depths: List,
    /// `rounds=N`: for a profile.
    pub(crate) rounds: Option<u32>,
}

/// Numbers between commas.
pub(crate) struct List(&'static str);

impl List {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.split(',').filter_map(|number| number.parse().ok())
    }
}

impl Args {
    pub(crate) fn parse(line: &'static str) -> Self {
        let number = |key| value(line, key).and_then(|text| text.parse().ok());
        Self {
            suite: value(line, "suite").unwrap_or("disks"),
            driver: value(line, "driver").unwrap_or("virtio"),
            polls: value(line, "wait") == Some("poll"),
            answers: value(line, "role") == Some("answers"),
            asks: value(line, "role") == Some("asks"),
            ms: number("ms").unwrap_or(100),
            ops: number("ops").unwrap_or(u64::MAX),
            bytes: number("bytes").unwrap_or(u64::MAX),
            sequential: value(line, "patterns") == Some("sequential"),
            sizes: List(value(line, "sizes").unwrap_or("512,4096,65536")),
            depths: List(value(line, "depths").unwrap_or("1,8,32")),
            rounds: value(line, "rounds").and_then(|text| text.parse().ok()),
        }
    }
}
