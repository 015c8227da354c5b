//! `lamina list`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::epilogue::{Epilogue, Example, Note};
use super::{Failure, terminal};
use crate::control::mounts::{self, Listed, State};
use crate::control::{MountInfo, PathText};

/// What follows the options in the help and the man page.
pub const EPILOGUE: Epilogue = Epilogue {
    examples: &[
        Example { what: "what is mounted where, for a person", command: "lamina list" },
        Example {
            what: "the mount points of the mounts whose daemon has died, for a script",
            command: r#"lamina list --json | jq -r '.[] | select(.state == "dead").mountpoint'"#,
        },
    ],
    notes: &[Note {
        heading: "States",
        text: "live: it serves. dead: its daemon has ended; lamina umount clears it. closed: another user mounted it, and \
               only they can ask it. silent: it did not answer.",
    }],
};

/// `lamina list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE.help())]
pub struct ListArgs {
    /// Print JSON: an array with an object for each mount
    #[arg(long)]
    pub json: bool,
}

/// One mount in the JSON output. The field names are a format: see `docs/cli.md`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    mountpoint: PathText,
    source: &'a str,
    owner_uid: Option<u32>,
    state: &'static str,
    problem: Option<&'a str>,
    info: Option<&'a MountInfo>,
}

/// Prints the mounts.
pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let listed = mounts::list()
        .map_err(|error| Failure::trouble(format!("/proc/self/mountinfo cannot be read: {error}")))?;
    if args.json {
        let entries: Vec<Entry<'_>> = listed.iter().map(entry).collect();
        return terminal::print(terminal::json(&entries)?.as_bytes());
    }
    if listed.is_empty() {
        eprintln!("lamina: nothing is mounted");
        return Ok(());
    }
    terminal::print(table(&listed, terminal::width()).as_bytes())
}

fn entry(listed: &Listed) -> Entry<'_> {
    let (state, problem, info) = match &listed.state {
        State::Live(info) => ("live", None, Some(&**info)),
        State::Dead => ("dead", None, None),
        State::Closed => ("closed", None, None),
        State::Silent(problem) => ("silent", Some(problem.as_str()), None),
        State::Foreign => ("foreign", None, None),
    };
    Entry {
        mountpoint: listed.mount.mountpoint.as_path().into(),
        source: &listed.mount.source,
        owner_uid: listed.mount.owner,
        state,
        problem,
        info,
    }
}

/// The column of the images, the last.
const IMAGE: usize = 6;

fn table(listed: &[Listed], width: Option<usize>) -> String {
    let mut head = vec!["MOUNT POINT", "STATE", "PID", "LAYERS", "UPPER", "TRANSPORT", "IMAGE"];
    let mut rows = Vec::new();
    let mut notes = String::new();
    for Listed { mount, state } in listed {
        let place = terminal::shown(&mount.mountpoint);
        let without_info = |state: &str| {
            let none = || "-".to_owned();
            vec![place.clone(), state.to_owned(), none(), none(), none(), none(), none()]
        };
        rows.push(match state {
            State::Live(info) => {
                let upper = info.upper.as_ref().map(|path| terminal::shown(&PathBuf::from(path)));
                vec![
                    place,
                    "live".to_owned(),
                    info.pid.to_string(),
                    info.layer_count().to_string(),
                    upper.unwrap_or_else(|| "-".to_owned()),
                    info.transport.clone(),
                    images(info),
                ]
            }
            State::Dead => {
                notes.push_str(&format!(
                    "\n{place}: its daemon has ended; clear it with: lamina umount '{place}'"
                ));
                without_info("dead")
            }
            State::Closed => {
                let owner = mount.owner.map_or("another user".to_owned(), |uid| format!("user {uid}"));
                notes.push_str(&format!("\n{place}: only {owner}, who mounted it, can ask it"));
                without_info("closed")
            }
            State::Silent(problem) => {
                notes.push_str(&format!("\n{place}: {problem}"));
                without_info("silent")
            }
            State::Foreign => without_info("foreign"),
        });
    }
    // The image is shown where there is one and the terminal is wide enough for it.
    let whole = terminal::table(&head, &rows, None);
    let is_too_wide = width.is_some_and(|width| whole.lines().any(|line| line.width() > width));
    let has_image = rows.iter().filter_map(|row| row.get(IMAGE)).any(|image| image != "-");
    let mut text = match has_image && !is_too_wide {
        true => whole,
        false => {
            let without: Vec<Vec<String>> =
                rows.iter().map(|row| row.iter().take(IMAGE).cloned().collect()).collect();
            head.truncate(IMAGE);
            terminal::table(&head, &without, width)
        }
    };
    if !notes.is_empty() {
        text.push_str(&notes);
        text.push('\n');
    }
    text
}

/// The images that a mount's layers are from, top first; `-` where all are directories.
fn images(info: &MountInfo) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in info.layers.iter().filter_map(|layer| layer.image.as_deref()) {
        let name = terminal::shown(Path::new(name));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::table::Mount;

    fn listed(mountpoint: &str, state: State) -> Listed {
        let mount = Mount {
            id: 1,
            mountpoint: mountpoint.into(),
            fs_type: "fuse.lamina".into(),
            source: "lamina".into(),
            options: Vec::new(),
            owner: Some(1000),
        };
        Listed { mount, state }
    }

    fn live() -> State {
        let json = r#"{"version":"1","pid":42,"mountpoint":"/a","layers":[{"number":2,"path":"/t"},
            {"number":1,"path":"/b"}],"upper":"/u","work":"/w","transport":"dev","options":["index=off"]}"#;
        State::Live(Box::new(MountInfo::decode(json.as_bytes()).unwrap()))
    }

    #[test]
    fn a_table_says_how_each_mount_is() {
        let text =
            table(&[listed("/a", live()), listed("/b c", State::Dead), listed("/d", State::Closed)], None);
        assert_eq!(
            text,
            "MOUNT POINT  STATE   PID  LAYERS  UPPER  TRANSPORT\n\
             /a           live    42   2       /u     dev\n\
             /b c         dead    -    -       -      -\n\
             /d           closed  -    -       -      -\n\
             \n\
             /b c: its daemon has ended; clear it with: lamina umount '/b c'\n\
             /d: only user 1000, who mounted it, can ask it\n"
        );
    }

    #[test]
    fn the_image_is_shown_where_the_terminal_is_wide_enough() {
        let layer = |number: usize, image: &str| {
            let image = if image.is_empty() { String::new() } else { format!(r#","image":"{image}""#) };
            format!(r#"{{"number":{number},"path":"/blob"{image}}}"#)
        };
        let layers = [layer(4, ""), layer(3, "/app.tar"), layer(2, "/app.tar"), layer(1, "oci:/base")];
        let json = format!(
            r#"{{"version":"1","pid":42,"mountpoint":"/a","layers":[{}],"upper":null,"work":null,
               "transport":"dev","options":[]}}"#,
            layers.join(",")
        );
        let of_images = State::Live(Box::new(MountInfo::decode(json.as_bytes()).unwrap()));
        let listed = [listed("/a", of_images), listed("/b", live())];
        let whole = "MOUNT POINT  STATE  PID  LAYERS  UPPER  TRANSPORT  IMAGE\n\
                     /a           live   42   4       -      dev        /app.tar, oci:/base\n\
                     /b           live   42   2       /u     dev        -\n";
        let without = "MOUNT POINT  STATE  PID  LAYERS  UPPER  TRANSPORT\n\
                       /a           live   42   4       -      dev\n\
                       /b           live   42   2       /u     dev\n";
        for (width, expected) in [(None, whole), (Some(70), whole), (Some(69), without), (Some(49), without)]
        {
            assert_eq!(table(&listed, width), expected, "{width:?}");
        }
        assert!(table(&listed, Some(48)).starts_with("/a\n  state      live\n"));
    }

    #[test]
    fn json_is_the_documented_one() {
        let live = listed("/a", live());
        let json = serde_json::to_value(entry(&live)).unwrap();
        assert_eq!(json["state"], "live");
        assert_eq!(json["info"]["pid"], 42);
        assert_eq!(json["info"]["layers"][1]["number"], 1);
        let dead = serde_json::to_string(&entry(&listed("/b", State::Dead))).unwrap();
        let expected = r#"{"mountpoint":"/b","source":"lamina","owner_uid":1000,"state":"dead","problem":null,"info":null}"#;
        assert_eq!(dead, expected);
    }
}
