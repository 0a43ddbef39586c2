//! Progress of a measurement: a bar where somebody watches, else lines.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Steps of a measurement.
pub(crate) struct Progress {
    bar: ProgressBar,
    watched: bool,
}

impl Progress {
    /// A measurement of so many steps.
    pub(crate) fn new(steps: usize) -> Self {
        let watched = std::io::stderr().is_terminal();
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        let bar = if watched { ProgressBar::new(steps) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, watched }
    }

    /// Begins a step.
    pub(crate) fn step<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        if !self.watched {
            eprintln!("{what} ...");
        }
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        let result = work();
        self.bar.inc(1);
        result
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
