//! The page's template: its handlebars files, style and script, built in or the user's own.
//!
//! `templates/README.md` describes the files, the fields of the view and the helpers to those who edit them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use handlebars::{Context, Handlebars, RenderError, RenderErrorReason};
use serde_json::Value;

use super::helpers::{self, Assets};
use crate::file_mode::open_file;

/// The file every rendering starts from.
const LAYOUT: &str = "report.html.hbs";
/// Colours and fonts. Comes before [`STYLE`], so that a brand can be changed in a small file.
const THEME: &str = "theme.css";
const STYLE: &str = "report.css";
const SCRIPT: &str = "report.js";
/// The folder of the parts that the layout includes.
const PARTIALS: &str = "partials";

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../templates/", $name)))),+]
    };
}

/// Every file of a template, by its path inside the template's directory.
const BUILT_IN: &[(&str, &str)] = built_in![
    "report.html.hbs",
    "theme.css",
    "report.css",
    "report.js",
    "partials/accounts.hbs",
    "partials/changes.hbs",
    "partials/connectors.hbs",
    "partials/contents.hbs",
    "partials/controls.hbs",
    "partials/disabled.hbs",
    "partials/dns.hbs",
    "partials/fedramp.hbs",
    "partials/filter.hbs",
    "partials/findings.hbs",
    "partials/made.hbs",
    "partials/masthead.hbs",
    "partials/matrix.hbs",
    "partials/numbers.hbs",
    "partials/passed.hbs",
    "partials/promises.hbs",
    "partials/rules.hbs",
    "partials/trend.hbs",
    "partials/unread.hbs",
    "partials/unverified.hbs",
    "partials/verdict.hbs",
    "partials/waivers.hbs",
];

/// A small view with something in every section, to try a template on.
const SAMPLE_VIEW: &str = include_str!("../../../templates/sample-view.json");

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file or directory of the user's template is there and cannot be read.
    #[error("cannot read the template {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory holds nothing that would change the page.
    #[error(
        "no template in {}: it has none of report.html.hbs, theme.css, report.css, report.js and \
         partials/*.hbs; copy the ones to change from the program's templates directory",
        dir.display()
    )]
    Nothing {
        /// The folder.
        dir: PathBuf,
    },
    /// A file does not parse, names what is not there, or must not be embedded as it is.
    #[error("{file}:{line}:{column}: {message}")]
    Bad {
        /// Path of the file, or `built-in NAME`.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A built-in file does not parse, which a test rules out.
    #[error(transparent)]
    BuiltIn(&'static TemplateError),
    /// The view cannot be turned into what a template reads.
    #[error("cannot prepare the page's data: {0}")]
    View(#[source] Box<RenderError>),
    /// The page cannot be written.
    #[error("cannot write the page: {0}")]
    Write(#[source] io::Error),
}

/// A template, ready to render any number of pages.
pub struct PageTemplate {
    /// `None` for the one that comes with the program. That is parsed when the first page is rendered: nothing else should wait
    /// for it.
    own: Option<Parsed>,
}

/// The template that comes with the program, parsed once.
static BUILT_IN_PARSED: LazyLock<Result<Parsed, TemplateError>> = LazyLock::new(|| {
    Parsed::of(BUILT_IN.iter().map(|(name, text)| SourceFile {
        name: (*name).to_owned(),
        origin: format!("built-in {name}"),
        text: (*text).to_owned(),
    }))
});

impl PageTemplate {
    /// The template that comes with the program.
    pub fn built_in() -> Self {
        Self { own: None }
    }

    /// The user's own template: the files of `dir`, and the built-in one for each that is absent there.
    /// Further `partials/*.hbs` can be included by their name. Other files are left alone.
    ///
    /// It is tried on a small view at once, so that a mistake shows before the collecting begins.
    ///
    /// # Errors
    /// Where a file cannot be read, does not parse or does not render, with its path, line and column.
    pub fn from_dir(dir: &Path) -> Result<Self, TemplateError> {
        let own = Parsed::of(read_dir(dir)?)?;
        own.try_out()?;
        Ok(Self { own: Some(own) })
    }

    /// Writes the page for `view`, whose fields are those of `templates/sample-view.json`.
    ///
    /// # Errors
    /// Where the template names a field the view lacks, or `out` fails.
    pub fn render(&self, view: Value, out: impl Write) -> Result<(), TemplateError> {
        self.parsed()?.render(view, out)
    }

    fn parsed(&self) -> Result<&Parsed, TemplateError> {
        match &self.own {
            Some(own) => Ok(own),
            None => BUILT_IN_PARSED.as_ref().map_err(TemplateError::BuiltIn),
        }
    }
}

/// The files of a template, parsed.
struct Parsed {
    registry: Handlebars<'static>,
    /// Where each file was taken from, for messages.
    origins: BTreeMap<String, String>,
}

impl Parsed {
    fn render(&self, view: Value, out: impl Write) -> Result<(), TemplateError> {
        let mut context = Context::null();
        *context.data_mut() = view;
        let mut out = BufWriter::with_capacity(64 * 1024, out);
        self.registry
            .render_with_context_to_write(LAYOUT, &context, &mut out)
            .map_err(|e| self.blame(e))?;
        out.flush().map_err(TemplateError::Write)
    }

    fn of(files: impl IntoIterator<Item = SourceFile>) -> Result<Self, TemplateError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.set_prevent_indent(true);
        let mut assets = Assets::default();
        let mut origins = BTreeMap::new();
        for file in files {
            if file.name.ends_with(".hbs") {
                file.refuse_partial_calls()?;
            }
            match file.name.as_str() {
                THEME => assets.theme = file.asset(&["</style"])?,
                STYLE => assets.style = file.asset(&["</style"])?,
                SCRIPT => assets.script = file.asset(&["</script", "<!--"])?,
                name => registry
                    .register_template_string(name, &file.text)
                    .map_err(|e| {
                        let (line, column) = e.pos().unwrap_or((1, 1));
                        file.bad(line, column, e.reason().to_string())
                    })?,
            }
            origins.insert(file.name, file.origin);
        }
        helpers::register(&mut registry, &assets);
        Ok(Self { registry, origins })
    }

    /// Renders the sample view, once full and once with every list empty, and throws the pages away.
    fn try_out(&self) -> Result<(), TemplateError> {
        let mut view = sample_view()?;
        self.render(view.clone(), io::sink())?;
        hollow(&mut view);
        self.render(view, io::sink())
    }

    fn blame(&self, error: RenderError) -> TemplateError {
        let name = error.template_name.as_deref().unwrap_or(LAYOUT);
        let file = self
            .origins
            .get(name)
            .map_or(name, String::as_str)
            .to_owned();
        let (line, column) = (error.line_no.unwrap_or(1), error.column_no.unwrap_or(1));
        let message = match RenderErrorReason::from(error) {
            RenderErrorReason::IOError(e) => return TemplateError::Write(e),
            RenderErrorReason::MissingVariable(Some(path)) => {
                format!("there is no field or helper `{path}` here; see templates/README.md")
            }
            reason => reason.to_string(),
        };
        TemplateError::Bad {
            file,
            line,
            column,
            message,
        }
    }
}

/// The view of `templates/sample-view.json`.
fn sample_view() -> Result<Value, TemplateError> {
    serde_json::from_str(SAMPLE_VIEW)
        .map_err(|e| TemplateError::View(Box::new(RenderErrorReason::from(e).into())))
}

/// Empties every list, and takes away what is optional: the other half of each condition in a template.
fn hollow(value: &mut Value) {
    match value {
        Value::Array(items) => items.clear(),
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(_) => *value = Value::from(0),
        Value::Object(fields) => {
            for (name, field) in fields {
                if matches!(name.as_str(), "policy" | "baseline" | "baseline_run") {
                    *field = Value::Null;
                } else {
                    hollow(field);
                }
            }
        }
        Value::Null | Value::String(_) => {}
    }
}

/// One file of a template, read.
struct SourceFile {
    /// Path inside the template's directory, with `/`.
    name: String,
    /// What to call it in a message.
    origin: String,
    text: String,
}

impl SourceFile {
    /// The text as a browser will hash it: with LF for line ends, and nothing in it that would end its element.
    fn asset(&self, forbidden: &[&str]) -> Result<String, TemplateError> {
        let text = self.text.replace("\r\n", "\n").replace('\r', "\n");
        let lower = text.to_ascii_lowercase();
        for word in forbidden {
            if let Some(at) = lower.find(word) {
                let line = text[..at].matches('\n').count() + 1;
                let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
                let message = format!(
                    "`{word}` would end the element this file is embedded in; write it another way"
                );
                return Err(self.bad(line, column, message));
            }
        }
        Ok(text)
    }

    /// Handlebars' own way of including a partial has no limit: one that includes itself overflows the stack, which ends
    /// the program and not only the page.
    fn refuse_partial_calls(&self) -> Result<(), TemplateError> {
        for (at, _) in self.text.match_indices("{{") {
            let call =
                self.text[at + 2..].trim_start_matches(['{', '~', '#', ' ', '\t', '\n', '\r']);
            if call.starts_with('>') {
                let line = self.text[..at].matches('\n').count() + 1;
                let column = at - self.text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
                let message = "`{{> NAME}}` is not supported; write `{{include \"NAME\"}}`";
                return Err(self.bad(line, column, message.to_owned()));
            }
        }
        Ok(())
    }

    fn bad(&self, line: usize, column: usize, message: String) -> TemplateError {
        TemplateError::Bad {
            file: self.origin.clone(),
            line,
            column,
            message,
        }
    }
}

/// The files of the user's directory, those absent there taken from the built-in template.
fn read_dir(dir: &Path) -> Result<Vec<SourceFile>, TemplateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TemplateError::Read { path, source }
    };
    let mut names: Vec<String> = BUILT_IN
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    // Read before the files, so that a directory that is not there is said so.
    fs::read_dir(dir).map_err(failed(dir))?;
    let partials = dir.join(PARTIALS);
    match fs::read_dir(&partials) {
        Ok(entries) => {
            for entry in entries {
                let file = entry.map_err(failed(&partials))?.file_name();
                if let Some(file) = file
                    .to_str()
                    .filter(|f| f.ends_with(".hbs") && !f.starts_with('.'))
                {
                    let name = format!("{PARTIALS}/{file}");
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(TemplateError::Read {
                path: partials,
                source,
            });
        }
    }
    // The order of a directory's entries is no order: which mistake is named first must not depend on it.
    names.sort();

    let mut own = 0;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = dir.join(&name);
        match open_file(&path).and_then(io::read_to_string) {
            Ok(text) => {
                own += 1;
                files.push(SourceFile {
                    origin: path.display().to_string(),
                    name,
                    text,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)
                else {
                    return Err(TemplateError::Read { path, source: e });
                };
                files.push(SourceFile {
                    origin: format!("built-in {name}"),
                    name,
                    text: (*text).to_owned(),
                });
            }
            Err(source) => return Err(TemplateError::Read { path, source }),
        }
    }
    if own == 0 {
        return Err(TemplateError::Nothing {
            dir: dir.to_owned(),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(view: &Value) -> String {
        let mut out = Vec::new();
        PageTemplate::built_in()
            .render(view.clone(), &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn sample() -> Value {
        sample_view().unwrap()
    }

    /// What `from_dir` says of a directory with these files.
    fn verdict_on(files: &[(&str, &str)]) -> Result<PageTemplate, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(PARTIALS)).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let root = format!("{}/", dir.path().display());
        PageTemplate::from_dir(dir.path()).map_err(|e| e.to_string().replace(&root, ""))
    }

    #[test]
    fn every_file_of_the_templates_directory_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found: Vec<String> = Vec::new();
        for entry in fs::read_dir(&root).unwrap() {
            found.push(entry.unwrap().file_name().into_string().unwrap());
        }
        for entry in fs::read_dir(root.join(PARTIALS)).unwrap() {
            found.push(format!(
                "{PARTIALS}/{}",
                entry.unwrap().file_name().into_string().unwrap()
            ));
        }
        found.retain(|name| ![PARTIALS, "README.md", "sample-view.json"].contains(&name.as_str()));
        found.sort();
        let mut known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn the_print_edition_says_what_of_fedramp_it_leaves_out_where_it_does() {
        let mut view = sample();
        assert!(page(&view).contains("leaves out 4 connectors that are as expected"));
        view["fedramp"]["compliant"] = 0.into();
        assert!(!page(&view).contains("that are as expected"));
        view["fedramp_settings"]["total"] = 41.into();
        assert!(page(&view).contains("The print edition has the first 40 rows of 41"));
    }

    #[test]
    fn the_built_in_template_renders_the_sample_full_and_empty() {
        PageTemplate::built_in()
            .parsed()
            .unwrap()
            .try_out()
            .unwrap();
    }

    #[test]
    fn every_section_is_there_in_order() {
        let page = page(&sample());
        let sections: Vec<&str> = page
            .split("<section id=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(
            sections,
            [
                "verdict",
                "changes",
                "numbers",
                "unverified",
                "dns",
                "disabled",
                "fedramp",
                "matrix",
                "findings",
                "connectors",
                "accounts",
                "waivers",
                "promises",
                "unread",
                "passed",
                "controls",
                "rules",
                "made"
            ]
        );
    }

    #[test]
    fn the_page_without_data_is_light() {
        let mut view = sample();
        hollow(&mut view);
        let bytes = page(&view).len();
        assert!(bytes < 100_000, "{bytes} bytes");
    }

    #[test]
    fn nothing_in_the_markup_needs_what_the_policy_forbids() {
        let page = page(&sample());
        let markup = page.split("</head>").nth(1).unwrap();
        for forbidden in [
            " style=",
            " onclick=",
            " onload=",
            "javascript:",
            "<script",
            "<style",
            " src=",
            "@import",
        ] {
            assert!(!markup.contains(forbidden), "{forbidden}");
        }
        assert!(!page.contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn text_from_outside_stays_text() {
        let mut view = sample();
        for rows in [
            "unverified",
            "disabled",
            "fedramp_settings",
            "findings",
            "accounts",
            "connectors",
            "unread",
        ] {
            for row in view[rows]["rows"].as_array_mut().unwrap() {
                for (name, field) in row.as_object_mut().unwrap() {
                    if field.is_string() {
                        *field = Value::from(format!(
                            "\"'><img src=x onerror=alert(1)></script>{name}\u{202e}\u{0}&"
                        ));
                    }
                }
            }
        }
        view["verdict"]["headline"] = Value::from("</title></style></script><svg onload=alert(2)>");
        view["totals"]["statuses"][0]["status"] = Value::from("\"><img src=y>");
        let page = page(&view);
        for markup in ["<img", "<svg onload", "\u{202e}", "\u{0}"] {
            assert!(!page.contains(markup), "{markup:?}");
        }
        assert!(page.contains("&lt;img src=x"));
        assert!(page.contains("⟨U+202E⟩⟨U+0000⟩&amp;"));
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script").count(), 1);
    }

    #[test]
    fn a_page_is_the_same_every_time() {
        assert_eq!(page(&sample()), page(&sample()));
    }

    #[test]
    fn own_files_replace_the_built_in_ones_and_can_be_added() {
        let template = verdict_on(&[
            ("partials/masthead.hbs", "<h1>Acme</h1>{{include \"logo\"}}"),
            (
                "partials/logo.hbs",
                "<svg><title>Logo of {{run.id}}</title></svg>",
            ),
            ("theme.css", ":root{--accent:#123456}\r\n"),
            ("notes.txt", "left alone"),
        ])
        .map_err(|e| panic!("{e}"))
        .unwrap();
        let mut out = Vec::new();
        template.render(sample(), &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(page.contains("<h1>Acme</h1><svg><title>Logo of "));
        assert!(page.contains("<style>:root{--accent:#123456}\n"));
        assert!(page.contains("<section id=\"findings\""));
    }

    #[test]
    fn a_bad_template_is_named_with_file_and_line() {
        let cases: &[(&str, &str, &str)] = &[
            (
                "partials/findings.hbs",
                "ok\n{{#each findings.rows}}\n{{/if}}",
                "partials/findings.hbs:3:",
            ),
            (
                "partials/findings.hbs",
                "\n\n{{findings.totl}}",
                "partials/findings.hbs:3:1: there is no field or helper `findings.totl`",
            ),
            (
                "partials/findings.hbs",
                "\n{{#if findings.totl}}x{{/if}}",
                "partials/findings.hbs:2:1: there is no field or helper `findings.totl`",
            ),
            (
                "partials/findings.hbs",
                "{{#each findings.rows}}\n{{colour}}{{/each}}",
                "partials/findings.hbs:2:1: there is no field or helper `colour`",
            ),
            (
                "partials/findings.hbs",
                "{{include \"logo\"}}",
                "partials/findings.hbs:1:1: there is no partials/logo.hbs",
            ),
            (
                "partials/findings.hbs",
                "{{include \"findings\"}}",
                "partials/findings.hbs:1:1: partials include each other in a loop",
            ),
            (
                "partials/findings.hbs",
                "a\n {{~#> findings}}{{/findings}}",
                "partials/findings.hbs:2:2: `{{> NAME}}` is not supported",
            ),
            (
                "partials/findings.hbs",
                "{{shout run.id}}",
                "partials/findings.hbs:1:1: ",
            ),
            // Only the page without findings comes here.
            (
                "partials/findings.hbs",
                "{{#each findings.rows}}{{else}}{{nothing}}{{/each}}",
                "partials/findings.hbs:1:",
            ),
            (
                "report.css",
                "a{}\n b{content:\"</STYLE>\"}",
                "report.css:2:13: `</style` would end",
            ),
            (
                "report.js",
                "let x = '<!--';",
                "report.js:1:10: `<!--` would end",
            ),
        ];
        for (name, text, expected) in cases {
            let message = verdict_on(&[(name, text)]).err().unwrap_or_default();
            assert!(message.starts_with(expected), "{text:?} gave {message:?}");
        }
    }

    #[test]
    fn a_directory_that_changes_nothing_is_an_error() {
        let message = verdict_on(&[("Report.html", "x")]).err().unwrap();
        assert!(message.starts_with("no template in "), "{message}");
        let message = PageTemplate::from_dir(Path::new("/no/such/directory"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.starts_with("cannot read the template /no/such/directory: "),
            "{message}"
        );
    }

    #[test]
    fn a_failing_disk_is_no_fault_of_the_template() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = PageTemplate::built_in().render(sample(), Full).unwrap_err();
        assert!(matches!(error, TemplateError::Write(_)), "{error}");
    }
}
