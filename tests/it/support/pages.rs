//! The documentation: the README and the pages under docs/.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the whole project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document in Markdown.
pub struct Page {
    /// From the project's folder on, such as `docs/dns.md`.
    pub path: String,
    pub text: String,
}

/// A block of code.
pub struct Block {
    /// What stands behind the fence, such as `sh`.
    pub language: String,
    /// Each with its number in the page, from 1.
    pub lines: Vec<(usize, String)>,
}

impl Block {
    /// All lines, each with its end.
    pub fn text(&self) -> String {
        self.lines
            .iter()
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }
}

/// A document by its path from the project's folder on.
#[track_caller]
pub fn page(path: &str) -> Page {
    let text = fs::read_to_string(project().join(path));
    Page {
        path: path.to_owned(),
        text: text.unwrap_or_else(|error| panic!("{path}: {error}")),
    }
}

/// The README and every page under docs/.
pub fn pages() -> Vec<Page> {
    let mut paths: Vec<_> = fs::read_dir(project().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    paths.sort();
    paths.insert(0, "README.md".to_owned());
    assert!(paths.len() > 15, "{paths:?}");
    paths.iter().map(|path| page(path)).collect()
}

impl Page {
    /// The blocks of code.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut in_code = false;
        for (index, line) in self.text.lines().enumerate() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                if !in_code {
                    blocks.push(Block {
                        language: language.to_owned(),
                        lines: Vec::new(),
                    });
                }
                in_code = !in_code;
            } else if let Some(block) = blocks.last_mut().filter(|_| in_code) {
                block.lines.push((index + 1, line.to_owned()));
            }
        }
        assert!(!in_code, "{}: a code block does not end", self.path);
        blocks
    }

    /// The lines that are in no block of code.
    pub fn prose(&self) -> impl Iterator<Item = &str> {
        let mut in_code = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            !in_code && !is_fence
        })
    }

    /// What is between backticks in prose.
    pub fn code_spans(&self) -> Vec<&str> {
        let spans = |line: &'_ str| line.matches('`').count() >= 2;
        self.prose()
            .filter(|line| spans(line))
            .flat_map(|line| line.split('`').skip(1).step_by(2))
            .collect()
    }

    /// The headings.
    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose()
            .filter(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#').trim())
    }

    /// What a link can name behind `#`: each heading in small letters without its punctuation, blanks as hyphens, and
    /// with a number where it is not the first of that name, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let anchor = |heading: &str| {
            let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
            let slug: String = heading.to_lowercase().chars().filter(kept).collect();
            let slug = slug.replace(' ', "-");
            let before = seen.entry(slug.clone()).or_default();
            *before += 1;
            match *before {
                1 => slug,
                number => format!("{slug}-{}", number - 1),
            }
        };
        self.headings().map(anchor).collect()
    }

    /// Where links and pictures lead to in this project: a path from the project's folder on, and an anchor.
    pub fn local_links(&self) -> Vec<(PathBuf, Option<String>)> {
        let folder = Path::new(&self.path).parent().unwrap_or(Path::new(""));
        let targets = self
            .prose()
            .flat_map(|line| line.split("](").skip(1))
            .filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://"));
        local
            .map(|target| {
                let (path, anchor) = match target.split_once('#') {
                    Some((path, anchor)) => (path, Some(anchor.to_owned())),
                    None => (target, None),
                };
                let path = match path {
                    "" => PathBuf::from(&self.path),
                    path => without_dots(&folder.join(path)),
                };
                (path, anchor)
            })
            .collect()
    }

    /// The rows of each table whose first head is given, each as its cells. Backticks are taken off.
    pub fn tables(&self, head: &str) -> Vec<Vec<Vec<String>>> {
        let start = format!("| {head} |");
        let mut tables = Vec::new();
        let mut lines = self.prose().peekable();
        while let Some(line) = lines.next() {
            if !line.starts_with(&start) {
                continue;
            }
            lines.next();
            let mut rows = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(line));
            }
            assert!(!rows.is_empty(), "{}: a table {head:?} is empty", self.path);
            tables.push(rows);
        }
        tables
    }

    /// The rows of the table whose first head is given, under the heading that is given without its backticks.
    #[track_caller]
    pub fn table(&self, heading: &str, head: &str) -> Vec<Vec<String>> {
        let is_heading = |line: &&str| {
            line.starts_with('#') && line.trim_start_matches('#').trim().replace('`', "") == heading
        };
        let below: Vec<_> = self
            .prose()
            .skip_while(|line| !is_heading(line))
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .collect();
        let section = Page {
            path: format!("{} under {heading:?}", self.path),
            text: below.join("\n"),
        };
        let mut tables = section.tables(head);
        assert_eq!(tables.len(), 1, "{}: tables headed {head:?}", section.path);
        tables.remove(0)
    }
}

fn cells(line: &str) -> Vec<String> {
    let line = line
        .trim_matches('|')
        .replace("\\|", "\u{0}")
        .replace('`', "");
    line.split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// A path without `..`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The first cell of each row.
pub fn first_cells(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| row[0].as_str()).collect()
}

/// Programs of others whose commands on the pages are not run, each with the reason.
pub const OTHER_PROGRAMS: &[(&str, &str)] = &[
    ("install", "it changes the machine"),
    ("systemd-sysusers", "it changes the machine"),
    ("systemctl", "it changes the machine"),
    ("docker", "it needs a container engine"),
    ("kubectl", "it needs a cluster"),
];
