//! Debian packages for riscv64, by means of the system's own apt: its mirror
//! and its keys, but package lists and downloads in a directory of ours. The
//! system's architectures, lists and packages stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Context, Result, broken};
use crate::{progress, workspace};

/// The first release of Debian that has riscv64, and its name.
const FIRST: (u32, &str) = (13, "trixie");
/// Where to look when a mirror is in the middle of an update of that one.
const LATER: [&str; 2] = ["forky", "sid"];

/// Where the keys are that Debian signs its releases with.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// Packages that a kernel's consists of, from Debian 14 on.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];

/// What to do where there is no apt.
const BY_HAND: &str = "give a kernel and an initramfs of your own (KERNEL=, INITRD=)";

/// Downloads `packages`, or what the first of them depends on where it is
/// empty, and unpacks the files that `patterns` match to `dir/root`.
pub(super) fn unpack(packages: &[&str], patterns: &[&str], dir: &Path) -> Result<()> {
    let apt = updated(dir)?;
    let names: Vec<String> = packages.iter().flat_map(|name| apt.resolve(name)).collect();
    let mut download = apt.get(&["download"]);
    download.args(&names).current_dir(&apt.dir);
    progress::step("downloading Debian's kernel (110 MB) and busybox", download, &apt.log)?;
    let root = dir.join("root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).context(format!("create {}", root.display()))?;
    for name in &names {
        let what = format!("unpacking {name}");
        progress::step(&what, extract(&apt.package(name)?, patterns, &root), &apt.log)?;
    }
    Ok(())
}

/// An apt that knows the packages of a suite: of the first that can be had.
fn updated(dir: &Path) -> Result<Apt> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let first = suite(&release);
    let mut last = None;
    for suite in [first].into_iter().chain(LATER.into_iter().filter(|later| *later != first)) {
        let apt = Apt::new(dir, &source(&release, suite)?)?;
        let what = format!("updating the list of packages of Debian {suite}");
        match progress::step(&what, apt.get(&["update"]), &apt.log) {
            Ok(()) => return Ok(apt),
            Err(failure) => last = last.or(Some(failure)),
        }
    }
    Err(last.unwrap_or_else(|| broken(format!("no suite of Debian: {BY_HAND}"))))
}

/// An apt with a state of its own.
struct Apt {
    dir: PathBuf,
    log: PathBuf,
}

impl Apt {
    fn new(dir: &Path, source: &str) -> Result<Self> {
        for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
            if !is_there(tool) {
                return Err(broken(format!("Debian's packages need {tool}: {BY_HAND}")));
            }
        }
        let apt = Self { dir: dir.join("apt"), log: dir.join("apt.log") };
        let _ = fs::remove_dir_all(&apt.dir);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.dir.join(part)).context("create directories for apt")?;
        }
        fs::write(apt.dir.join("status"), "").context("write to a new directory")?;
        fs::write(apt.dir.join("sources.list"), source).context("write to a new directory")?;
        Ok(apt)
    }

    fn get(&self, arguments: &[&str]) -> Command {
        let mut command = self.tool("apt-get");
        command.args(arguments);
        command
    }

    fn tool(&self, tool: &str) -> Command {
        let place =
            |option: &str, name: &str| format!("{option}={}", self.dir.join(name).display());
        let options = [
            place("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            place("Dir::State::lists", "lists"),
            place("Dir::State::status", "status"),
            place("Dir::Cache", "cache"),
            "APT::Architecture=riscv64".to_owned(),
            "APT::Architectures::=riscv64".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // Our directory need not be one that apt's own user can write to.
            "APT::Sandbox::User=root".to_owned(),
        ];
        let mut command = Command::new(tool);
        command.args(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        command.env("LC_ALL", "C");
        command
    }

    /// The packages that have the files of `name`: a kernel's only points to
    /// that of the newest version, and this one, from Debian 14 on, to several.
    fn resolve(&self, name: &str) -> Vec<String> {
        let depends = self.depends(name);
        let stem = name.trim_end_matches("-riscv64");
        let newest = depends.into_iter().find(|other| other.starts_with(stem) && other != name);
        let newest = newest.unwrap_or_else(|| name.to_owned());
        let mut parts = self.depends(&newest);
        parts.retain(|part| PARTS.iter().any(|prefix| part.starts_with(prefix)));
        if parts.is_empty() { vec![newest] } else { parts }
    }

    fn depends(&self, name: &str) -> Vec<String> {
        let output = self.tool("apt-cache").args(["depends", "--important", name]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        depends.map(str::to_owned).collect()
    }

    /// The file that was downloaded for a package.
    fn package(&self, name: &str) -> Result<PathBuf> {
        let files = fs::read_dir(&self.dir).context("look for packages")?;
        let prefix = format!("{name}_");
        let is_it = |path: &PathBuf| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&prefix))
        };
        let found = files.flatten().map(|entry| entry.path()).find(is_it);
        found.ok_or_else(|| broken(format!("apt did not download {name}")))
    }
}

/// Takes some files out of a package.
fn extract(package: &Path, patterns: &[&str], root: &Path) -> Command {
    let mut shell = Command::new("sh");
    // `tar` fails where a pattern matches nothing, so it gets those that do.
    shell.args([
        "-c",
        "dpkg-deb --fsys-tarfile \"$0\" | tar -x -C \"$@\" 2>&1 || test -n \"$(ls -A \"$1\")\"",
    ]);
    shell.arg(package).arg(root).arg("--wildcards").args(patterns);
    shell
}

/// The line for `sources.list`: the system's mirror of Debian.
fn source(release: &str, suite: &str) -> Result<String> {
    if field(release, "ID") != Some("debian") {
        return Err(broken(format!("this system is not Debian: {BY_HAND}")));
    }
    let own = field(release, "VERSION_CODENAME").unwrap_or("sid");
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]);
    apt.arg("Created-By: Packages").stderr(Stdio::null());
    let output = apt.output().context("run apt-get")?;
    let targets = String::from_utf8_lossy(&output.stdout).into_owned();
    let mirror = mirror(&targets, own)
        .ok_or_else(|| broken(format!("apt has no source for Debian {own}: {BY_HAND}")))?;
    let keyring = KEYRINGS.into_iter().find(|path| Path::new(path).is_file());
    let signed = keyring.map(|path| format!(" signed-by={path}")).unwrap_or_default();
    Ok(format!("deb [arch=riscv64{signed}] {mirror} {suite} main\n"))
}

/// The value of a field of `os-release`.
fn field<'a>(release: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    release.lines().find_map(value).map(|value| value.trim_matches('"'))
}

/// The suite that has riscv64: the system's own, if that is not too old.
fn suite(release: &str) -> &str {
    let version = field(release, "VERSION_ID").and_then(|version| version.parse().ok());
    match field(release, "VERSION_CODENAME") {
        Some(name) if version.is_none_or(|version: u32| version >= FIRST.0) => name,
        _ => FIRST.1,
    }
}

/// The mirror in apt's list of what it would fetch for release `own`.
fn mirror<'a>(targets: &'a str, own: &str) -> Option<&'a str> {
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let mirror = words.next()?;
        (words.next() == Some(own) && words.next() == Some("main")).then_some(mirror)
    })
}

fn is_there(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir(workspace::root()).status().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_the_systems_unless_too_old() {
        let release = |version: &str, name: &str| {
            format!("ID=debian\nVERSION_ID=\"{version}\"\nVERSION_CODENAME={name}\n")
        };
        assert_eq!(suite(&release("12", "bookworm")), "trixie");
        assert_eq!(suite(&release("13", "trixie")), "trixie");
        assert_eq!(suite(&release("14", "forky")), "forky");
        assert_eq!(suite("ID=debian\nVERSION_CODENAME=forky\n"), "forky");
        assert_eq!(suite("ID=debian\n"), "trixie");
    }

    #[test]
    fn the_mirror_is_that_of_the_release_itself() {
        let targets = "http://security.test/ bookworm-security main\n\
                       http://other.test/ bookworm contrib\n\
                       http://mirror.test/debian/ bookworm main\n";
        assert_eq!(mirror(targets, "bookworm"), Some("http://mirror.test/debian/"));
        assert_eq!(mirror(targets, "trixie"), None);
    }

    #[test]
    fn fields_may_be_quoted() {
        let release = "PRETTY_NAME=\"Debian 12\"\nID=debian\nVERSION_ID=\"12\"\n";
        assert_eq!(field(release, "ID"), Some("debian"));
        assert_eq!(field(release, "VERSION_ID"), Some("12"));
        assert_eq!(field(release, "VERSION"), None);
    }
}
