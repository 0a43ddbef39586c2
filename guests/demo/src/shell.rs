//! The shell: reads lines, and runs commands.

mod bench;
mod commands;

use alloc::string::String;
use alloc::vec::Vec;

use crate::console::Screen;
use crate::kernel::Kernel;
use crate::line::Line;
use crate::{print, println};

/// How a command ends: a mistake is told in one line.
type Outcome = Result<(), String>;

/// A command.
struct Command {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    /// Gets what was typed after its name.
    run: fn(&mut Kernel, &str) -> Outcome,
}

/// The one who types.
#[derive(Default)]
pub(crate) struct Shell(Line);

impl Shell {
    /// Asks for a command.
    pub(crate) fn prompt(&self) {
        print!("demo> ");
    }

    /// Takes a key; runs the command that it completes.
    pub(crate) fn key(&mut self, key: u8, kernel: &mut Kernel) {
        if let Ok(Some(line)) = self.0.key(key, &mut Screen) {
            run(line.trim(), kernel);
            self.prompt();
        }
    }
}

fn run(line: &str, kernel: &mut Kernel) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    if name.is_empty() {
        return;
    }
    match commands::ALL.iter().find(|command| command.name == name) {
        None => println!("{name}: no such command; \"help\" lists them"),
        Some(command) => {
            if let Err(problem) = (command.run)(kernel, rest.trim()) {
                println!("{name}: {problem}");
            }
        }
    }
}

/// The words of a command's arguments, if there are so many.
fn words<const COUNT: usize>(arguments: &str) -> Option<[&str; COUNT]> {
    arguments.split_whitespace().collect::<Vec<_>>().try_into().ok()
}
