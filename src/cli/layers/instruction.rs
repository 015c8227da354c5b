//! The instruction of a Dockerfile, out of what builders write into an image's history (`created_by`).
//!
//! Builders write the command that they ran, each in its own way. The forms known here are those that docker's builder,
//! BuildKit and buildah have written into images; whatever else there is stays as it is.

use crate::cli::terminal::acts;

/// The shell that runs `RUN` unless the Dockerfile says otherwise.
const SHELL: &str = "/bin/sh -c ";
/// What docker's builder and buildah put before an instruction that runs nothing.
const NOP: &str = "#(nop)";
/// What BuildKit puts behind each instruction.
const BUILDKIT: &str = "# buildkit";

/// The instruction as it stands in the Dockerfile, as far as the history tells: on one line, without the shell around it.
pub fn cleaned(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix(BUILDKIT).unwrap_or(text).trim_end();
    let (run, command) = match text.strip_prefix("RUN ") {
        Some(command) => (true, command.trim_start()),
        None => (false, text),
    };
    let without_arguments = without_build_arguments(command);
    match without_arguments.strip_prefix(SHELL).map(str::trim_start) {
        Some(shell) => match shell.strip_prefix(NOP) {
            Some(instruction) => one_line(instruction),
            None => one_line(&format!("RUN {shell}")),
        },
        None if run => one_line(&format!("RUN {without_arguments}")),
        None => one_line(text),
    }
}

/// `|2 A=1 B=2 /bin/sh -c make` is `/bin/sh -c make` with two build arguments, whose values may hold spaces.
fn without_build_arguments(command: &str) -> &str {
    let Some((count, rest)) = command.strip_prefix('|').and_then(|rest| rest.split_once(' ')) else {
        return command;
    };
    if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
        return command;
    }
    match rest.starts_with(SHELL) {
        true => rest,
        false => rest.find(&format!(" {SHELL}")).and_then(|at| rest.get(at + 1..)).unwrap_or(command),
    }
}

/// Runs of white space become one space, other characters that act on a terminal are escaped: what an image says
/// does not move the cursor.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            match acts(c) {
                true => line.extend(c.escape_default()),
                false => line.push(c),
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_builders_way_of_saying_it_becomes_the_instruction() {
        for (created_by, instruction) in [
            // docker's builder, and buildah
            ("/bin/sh -c #(nop) ADD file:0123abcd in / ", "ADD file:0123abcd in /"),
            (r#"/bin/sh -c #(nop)  CMD ["bash"]"#, r#"CMD ["bash"]"#),
            ("/bin/sh -c #(nop) ENV A=b", "ENV A=b"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("|1 VERSION=1.2 3 /bin/sh -c make install", "RUN make install"),
            ("|0 /bin/sh -c make", "RUN make"),
            // BuildKit
            ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
            ("RUN |2 A=1 B=2 /bin/sh -c make # buildkit", "RUN make"),
            ("RUN /bin/bash -o pipefail -c make # buildkit", "RUN /bin/bash -o pipefail -c make"),
            ("COPY a /b # buildkit", "COPY a /b"),
            ("ENV A=b", "ENV A=b"),
            ("ENTRYPOINT [\"/app\"]", "ENTRYPOINT [\"/app\"]"),
            // others
            ("umoci insert", "umoci insert"),
            ("# debian.sh --arch 'amd64' out/ 'bookworm'", "# debian.sh --arch 'amd64' out/ 'bookworm'"),
            ("/bin/sh -c 'x'", "RUN 'x'"),
            ("|x /bin/sh -c y", "|x /bin/sh -c y"),
            ("|1 A=b", "|1 A=b"),
            ("", ""),
        ] {
            assert_eq!(cleaned(created_by), instruction, "{created_by}");
        }
    }

    #[test]
    fn an_instruction_is_one_line_and_moves_no_cursor() {
        assert_eq!(
            cleaned("RUN /bin/sh -c apt-get update \t&&\n    apt-get upgrade # buildkit"),
            "RUN apt-get update && apt-get upgrade"
        );
        assert_eq!(cleaned("RUN echo \u{1b}[2J\u{202e}"), "RUN echo \\u{1b}[2J\\u{202e}");
    }
}
