//! `make qemu-passthrough`: Debian's Linux fetches a page from this tool, over
//! a network interface of its own.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::failure::{Context, Result, mistake};
use crate::run::RunCommand;

/// The host, as QEMU's user network shows it to guests.
const HOST: &str = "10.0.2.2";
/// What the guest fetches.
const PAGE: &str = "This page came over a network interface that belongs to the guest.\n";

/// Runs Linux with the options of `cargo xtask run`, and an interface of its
/// own if it is told nothing about one. Returns the exit status.
///
/// # Errors
/// If a step fails: with what to do.
pub fn main(mut command: RunCommand) -> Result<u8> {
    if command.config.is_some() {
        return Err(mistake("this demo has one guest: leave out --config"));
    }
    let guest = &mut command.guest;
    if !guest.pass.iter().any(|passed| passed.is_net()) {
        guest.pass.insert(0, "net".parse().map_err(|problem: String| mistake(problem))?);
    }
    let listener = TcpListener::bind("127.0.0.1:0").context("listen on a port of this host")?;
    let port = listener.local_addr().context("find the port")?.port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
    super::complete(guest)?;
    if let Some(append) = &mut guest.append {
        append.push_str(&format!(" fetch=http://{HOST}:{port}/"));
    }
    super::main(command)
}

/// Answers a request, whatever it is for.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    // A request of a line and some headers is in the first piece.
    let _ = stream.read(&mut [0; 4096])?;
    let length = PAGE.len();
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{PAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer(listener.accept().unwrap().0));
        let mut client = TcpStream::connect(address).unwrap();
        write!(client, "GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        server.join().unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.0 200") && text.ends_with(PAGE), "{text}");
    }
}
