//! Statements with random changes: reading any text ends, without a panic and on a thread's ordinary stack, its errors
//! stand where the text is, and the ways to read it agree.
//!
//! A case is its seed alone; the text that fails is shown.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::error::Position;
use crate::common::{Error, ErrorKind};
use crate::sql::ast::{
    Constraint, CreateTable, DistClause, Ident, KeyColumn, Matched, MergeAction, Show, SortClause, Statement,
    TableChange,
};
use crate::sql::unparse::create_table_ddl;
use crate::sql::{is_complete, parse, parse_expr, parse_name, parse_one, split};
use crate::testing::{Rng, seeds};

use super::corpus::{self, READ, REFUSED};

/// Far beyond what any of these texts takes, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const ORDINARY_STACK_BYTES: usize = 2 << 20;
/// Comparing statements recurses as deep as they are nested, which nothing but tests does.
const DEEP_STACK_BYTES: usize = 1 << 30;
const MAX_TEXT_BYTES: usize = 20_000;

#[test]
fn the_corpus_has_every_kind_of_statement() {
    let mut kinds = BTreeSet::new();
    for sql in READ {
        let statements = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        kinds.extend(statements.iter().map(kind));
    }
    let all = [
        "alter constraint",
        "alter retention",
        "alter table",
        "analyze",
        "analyze compression",
        "attach",
        "backup",
        "begin",
        "clone table",
        "comment",
        "commit",
        "copy",
        "create schema",
        "create table",
        "create view",
        "datafusion",
        "delete",
        "describe",
        "detach",
        "drop schema",
        "drop table",
        "drop view",
        "explain",
        "insert",
        "lock",
        "merge",
        "prepare",
        "query",
        "restore",
        "rollback",
        "search path",
        "set slices",
        "show",
        "show parameter",
        "show table",
        "summarize",
        "truncate",
        "unload",
        "update",
        "vacuum",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    for sql in REFUSED {
        let e = super::refused(sql);
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}: {e}");
    }
    assert!(corpus::of_files().len() > READ.len());
}

fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateTable(_) => "create table",
        Statement::CloneTable(_) => "clone table",
        Statement::CreateFrom(_) => "create table from",
        Statement::Backup(_) => "backup",
        Statement::Restore(_) => "restore",
        Statement::AlterConstraint(_) => "alter constraint",
        Statement::AlterTable(_) => "alter table",
        Statement::SetSlices { .. } => "set slices",
        Statement::AlterRetention(_) => "alter retention",
        Statement::DropTable(_) => "drop table",
        Statement::CreateView(_) => "create view",
        Statement::DropView(_) => "drop view",
        Statement::Comment(_) => "comment",
        Statement::Attach(_) => "attach",
        Statement::Detach(_) => "detach",
        Statement::SetSearchPath(_) => "search path",
        Statement::Show(_) => "show",
        Statement::ShowParameter(_) => "show parameter",
        Statement::Analyze(_) => "analyze",
        Statement::AnalyzeCompression(_) => "analyze compression",
        Statement::CreateSchema(_) => "create schema",
        Statement::DropSchema(_) => "drop schema",
        Statement::Insert(_) => "insert",
        Statement::Delete(_) => "delete",
        Statement::Update(_) => "update",
        Statement::Merge(_) => "merge",
        Statement::Explain(_) => "explain",
        Statement::Prepare(_) => "prepare",
        Statement::Truncate(_) => "truncate",
        Statement::Begin(_) => "begin",
        Statement::Vacuum(_) => "vacuum",
        Statement::Commit => "commit",
        Statement::Rollback => "rollback",
        Statement::Lock(_) => "lock",
        Statement::Copy(_) => "copy",
        Statement::Unload(_) => "unload",
        Statement::ShowTable { .. } => "show table",
        Statement::Describe { .. } => "describe",
        Statement::Summarize(_) => "summarize",
        Statement::Query(_) => "query",
        Statement::DataFusion { .. } => "datafusion",
    }
}

#[test]
fn changed_statements_are_read_or_refused_where_they_are_wrong() {
    let files = corpus::of_files();
    let corpus: Vec<&str> = [READ, REFUSED].concat().into_iter().chain(files.iter().map(String::as_str)).collect();
    let ordinary = Reader::new(ORDINARY_STACK_BYTES, read);
    let deep = Reader::new(DEEP_STACK_BYTES, agree);
    // Some as they are.
    let unchanged = seeds(0, 50).map(|seed| corpus[seed as usize % corpus.len()].to_string());
    let texts = READ.iter().chain(REFUSED).map(|sql| sql.to_string()).chain(unchanged);
    for text in texts.chain(seeds(0, 1000).map(|seed| changed(&corpus, &mut Rng::new(seed)))) {
        ordinary.read(&text);
        deep.read(&text);
    }
}

/// A thread that reads texts. What takes it too long, or panics, is shown.
struct Reader {
    texts: Sender<String>,
    done: Receiver<()>,
}

impl Reader {
    fn new(stack_bytes: usize, check: fn(&str)) -> Self {
        let (texts, given) = channel::<String>();
        let (tell, done) = channel();
        let run = move || {
            for text in given {
                check(&text);
                if tell.send(()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().stack_size(stack_bytes).spawn(run).unwrap();
        Reader { texts, done }
    }

    fn read(&self, text: &str) {
        self.texts.send(text.to_string()).unwrap();
        if let Err(e) = self.done.recv_timeout(LIMIT) {
            panic!("{e} reading {text:?}");
        }
    }
}

/// Reads a text in every way. An error stands within it and is the text's fault.
fn read(sql: &str) {
    is_complete(sql);
    if let Err(e) = parse(sql) {
        within(sql, &e);
    }
    for piece in split(sql) {
        if let Err(e) = piece.parse() {
            within(sql, &e);
        }
    }
    if let Err(e) = parse_name(sql) {
        within(sql, &e);
    }
    if let Err(e) = parse_expr(sql) {
        within(sql, &e);
    }
}

fn within(sql: &str, e: &Error) {
    let place = e.position().unwrap_or_else(|| panic!("no place in {e} of {sql:?}"));
    assert!(offset(sql, place).is_some(), "{place:?} of {e} is not in {sql:?}");
    assert!(matches!(e.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{e} of {sql:?}");
    assert!(!e.message().is_empty() && !e.message().contains("at Line:"), "{e} of {sql:?}");
}

/// The byte of a place in a text, if there is one. A place may be behind a line's last character.
fn offset(sql: &str, place: Position) -> Option<usize> {
    let line = sql.split('\n').nth(usize::try_from(place.line.checked_sub(1)?).ok()?)?;
    let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
    let ends = line.char_indices().map(|(i, _)| i).chain([line.len()]);
    Some(line.as_ptr() as usize - sql.as_ptr() as usize + ends.clone().nth(column)?)
}

/// What [`parse`], [`split`] and [`is_complete`] say of a text agrees.
fn agree(sql: &str) {
    let pieces = split(sql);
    let mut end = 0;
    for piece in &pieces {
        let start = offset(sql, piece.position).unwrap_or_else(|| panic!("{piece:?} of {sql:?}"));
        assert!(sql[start..].starts_with(piece.text), "{piece:?} of {sql:?}");
        assert!(start >= end && split(&sql[end..start]).is_empty(), "before {piece:?} of {sql:?}");
        end = start + piece.text.len();
    }
    assert!(split(&sql[end..]).is_empty(), "behind the last piece of {sql:?}");

    let of_pieces: Vec<_> = pieces.iter().map(|piece| piece.parse()).collect();
    match parse(sql) {
        Ok(statements) => {
            let of_pieces: Vec<_> =
                of_pieces.into_iter().map(|s| s.unwrap_or_else(|e| panic!("{e} of {sql:?}"))).collect();
            assert_eq!(statements, of_pieces, "{sql:?}");
            assert!(is_complete(&format!("{sql}\n;")), "{sql:?}");
            statements.iter().for_each(|statement| places(sql, statement));
            statements.into_iter().for_each(|statement| written(sql, statement));
        }
        Err(e) => {
            let same = |other: &Error| {
                (other.kind(), other.message(), other.position()) == (e.kind(), e.message(), e.position())
            };
            let errors: Vec<_> = of_pieces.into_iter().filter_map(Result::err).collect();
            assert!(errors.iter().any(same), "{e}, its pieces {errors:?}, of {sql:?}");
        }
    }

    if is_complete(sql) {
        let more = split(&format!("{sql}\nselect 1")).len();
        // What cannot be read stays so.
        let broken = more == pieces.len();
        assert!(broken || more == pieces.len() + 1, "{sql:?}");
        for end in if broken { &["", "'", "\"", "*/", "$$", "\\'"][..] } else { &[] } {
            assert!(parse(&format!("{sql}{end};")).is_err(), "{sql:?} and {end}");
        }
    }
}

/// The names of a statement stand where they say.
fn places(sql: &str, statement: &Statement) {
    let mut names: Vec<&Ident> = Vec::new();
    match statement {
        Statement::CreateTable(table) => {
            names.extend(&table.name.parts);
            names.extend(table.columns.iter().map(|column| &column.name));
            names.extend(&table.column_names);
            names.extend(table.like.iter().flat_map(|like| &like.parent.parts));
        }
        Statement::CreateFrom(create) => names.extend(create.table.name.parts.iter()),
        Statement::CloneTable(clone) => names.extend(clone.name.parts.iter().chain(&clone.source.parts)),
        Statement::AlterConstraint(alter) => names.extend(alter.table.parts.iter().chain([&alter.name])),
        Statement::AlterTable(alter) => {
            names.extend(&alter.table.parts);
            match &alter.change {
                TableChange::RenameColumn { from, to } => names.extend([from, to]),
                TableChange::Encode(encodings) => names.extend(encodings.iter().map(|(name, _)| name)),
                TableChange::Append { source: other, .. } | TableChange::Swap(other) => names.extend(&other.parts),
                TableChange::AddColumn(spec) => names.push(&spec.name),
                TableChange::Rename(name)
                | TableChange::DropColumn { name, .. }
                | TableChange::Type { name, .. }
                | TableChange::DropConstraint { name, .. }
                | TableChange::Owner(name) => names.push(name),
                _ => {}
            }
        }
        Statement::AlterRetention(alter) => {
            names.extend(alter.table.parts.iter().chain(alter.retain.iter().map(|(_, column)| column)));
        }
        Statement::DropTable(drop) => names.extend(drop.names.iter().flat_map(|name| &name.parts)),
        Statement::CreateView(view) => names.extend(view.name.parts.iter().chain(&view.columns)),
        Statement::DropView(drop) => names.extend(drop.names.iter().flat_map(|name| &name.parts)),
        Statement::Attach(attach) => names.push(&attach.name),
        Statement::Detach(detach) => names.push(&detach.name),
        Statement::SetSearchPath(path) => names.extend(path.iter().flatten()),
        Statement::Analyze(analyze) => {
            names.extend(analyze.table.iter().flat_map(|table| &table.parts).chain(&analyze.columns));
        }
        Statement::AnalyzeCompression(analyze) => {
            names.extend(analyze.table.iter().flat_map(|table| &table.parts).chain(&analyze.columns));
        }
        Statement::DropSchema(drop) => names.extend(drop.names.iter().flat_map(|name| &name.parts)),
        Statement::CreateSchema(create) => names.extend(create.name.parts.iter().chain(&create.authorization)),
        Statement::Insert(insert) => names.extend(insert.table.parts.iter().chain(&insert.columns)),
        Statement::Delete(delete) => names.extend(delete.table.parts.iter().chain(&delete.alias)),
        Statement::Update(update) => {
            names.extend(update.table.parts.iter().chain(&update.alias));
            names.extend(update.assignments.iter().map(|(column, _)| column));
        }
        Statement::SetSlices { .. } => {}
        Statement::Explain(explain) => return places(sql, &explain.statement),
        Statement::Prepare(prepare) => {
            names.push(&prepare.name);
            places(sql, &prepare.statement);
        }
        Statement::Merge(merge) => {
            names.extend(merge.table.parts.iter().chain(&merge.alias));
            names.extend(merge.source.iter().flat_map(|source| &source.parts));
            if let MergeAction::When { matched, not_matched } = &merge.action {
                if let Some(Matched::Update(assignments)) = matched {
                    names.extend(assignments.iter().map(|(column, _)| column));
                }
                names.extend(not_matched.iter().flat_map(|insert| &insert.columns));
            }
        }
        Statement::Truncate(table) => names.extend(&table.parts),
        Statement::Vacuum(vacuum) => names.extend(vacuum.table.iter().flat_map(|table| &table.parts)),
        Statement::Lock(tables) => names.extend(tables.iter().flat_map(|table| &table.parts)),
        Statement::Copy(copy) => {
            names.extend(copy.table.parts.iter().chain(&copy.columns));
            assert!(offset(sql, copy.from_position).is_some(), "{sql:?}");
        }
        Statement::Unload(unload) => {
            names.extend(unload.options.partition_by.iter().flat_map(|by| &by.columns));
            assert!(offset(sql, unload.to_position).is_some(), "{sql:?}");
        }
        Statement::ShowTable { name } | Statement::Describe { name } => names.extend(&name.parts),
        Statement::DataFusion { sql: text, position } => {
            let start = offset(sql, *position).unwrap_or_else(|| panic!("{position:?} of {sql:?}"));
            assert!(sql[start..].starts_with(text.as_str()), "{text:?} at {position:?} of {sql:?}");
        }
        Statement::Show(Show::View(name) | Show::Columns { table: name, .. } | Show::History { table: name, .. }) => {
            names.extend(&name.parts)
        }
        Statement::Show(Show::Tables { schema, .. }) => names.extend(schema.iter().flat_map(|name| &name.parts)),
        Statement::Show(Show::Schemas { database, .. }) => names.extend(database),
        Statement::Comment(_)
        | Statement::Backup(_)
        | Statement::Restore(_)
        | Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Show(_)
        | Statement::ShowParameter(_)
        | Statement::Summarize(_)
        | Statement::Query(_) => {}
    }
    for name in names {
        let start = offset(sql, name.position).unwrap_or_else(|| panic!("{name:?} of {sql:?}"));
        let found = &sql[start..];
        let found = if name.quoted { found[1..].replace("\"\"", "\"") } else { found.to_ascii_lowercase() };
        assert!(found.starts_with(&name.value), "{name:?} of {sql:?}");
    }
}

/// A table's DDL makes the same table.
fn written(sql: &str, statement: Statement) {
    let Statement::CreateTable(table) = statement else { return };
    let ddl = create_table_ddl(&table);
    match parse_one(&ddl) {
        Ok(Statement::CreateTable(again)) => assert_eq!(placeless(*again), placeless(*table), "{ddl} of {sql:?}"),
        other => panic!("{other:?} for {ddl} of {sql:?}"),
    }
}

/// Without what depends on where and how a thing was said.
fn placeless(mut table: CreateTable) -> CreateTable {
    let nowhere = Position { line: 1, column: 1 };
    let key = |key: &mut KeyColumn| {
        if let KeyColumn::Position { position, .. } = key {
            *position = nowhere;
        }
    };
    if let Some(DistClause::Key(column)) = &mut table.dist {
        key(column);
    }
    if let Some(SortClause::Columns { columns, .. }) = &mut table.sort {
        columns.iter_mut().for_each(key);
    }
    table.columns.iter_mut().for_each(|column| (column.distkey, column.sortkey) = (false, false));
    table.constraints.iter_mut().for_each(|Constraint { position, .. }| *position = nowhere);
    table.cut_names.clear();
    table
}

/// What texts are made of that statements seldom have.
const ODD: &[&str] = &[
    "'",
    "\"",
    "`",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    "\r\n",
    "\r",
    "\t",
    ";",
    ";;",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ".",
    "..",
    "::",
    ":",
    "=",
    "=>",
    "->",
    "|>",
    "||",
    "|",
    "&&",
    "#",
    "@",
    "!",
    "?",
    "$1",
    "%",
    "^",
    "~",
    "\\",
    "\\'",
    "\u{0}",
    "\u{feff}",
    "\u{2028}",
    "\u{a0}",
    "\u{3000}",
    "é",
    "İ",
    "ß",
    "日本",
    "🦀",
    "e\u{301}",
    "\u{202e}",
    "'é''",
    "E'\\",
    "E'\\x41'",
    "U&'\\+01F980'",
    "N'",
    "X'",
    "B'0",
    "R'",
    "q'[",
    "/*!",
    "/*+",
    "1e",
    "1e999999",
    "0x",
    "1.2.3",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999999999999999999999999",
    "\"\"",
    "''",
    "\"a\"\"b\"",
    "\"İ\"",
    "aVeryLongNameOfWhichThereAreMoreThanOneHundredAndTwentySevenBytesSoThatItIsCutToFitAsRedshiftDoesItWithNamesThatAreTooLongForItÄÖÜ",
];

/// One or more statements of the corpus, changed.
fn changed(corpus: &[&str], rng: &mut Rng) -> String {
    let mut words = words(corpus[rng.below(corpus.len())]);
    for _ in 0..rng.below(3) * rng.below(2) {
        words.extend([";", "\n"].map(String::from));
        words.extend(self::words(corpus[rng.below(corpus.len())]));
    }
    for _ in 0..=rng.below(5) {
        change(&mut words, corpus, rng);
    }
    let mut text = words.concat();
    while text.len() > MAX_TEXT_BYTES || !text.is_char_boundary(text.len()) {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    text
}

fn change(words: &mut Vec<String>, corpus: &[&str], rng: &mut Rng) {
    if words.is_empty() {
        return;
    }
    let at = rng.below(words.len());
    let to = at + 1 + rng.below((words.len() - at).min(12));
    match rng.below(14) {
        0 => drop(words.drain(at..to)),
        1 => {
            let again = words[at..to].to_vec();
            words.splice(to..to, again);
        }
        2 => {
            let other = rng.below(words.len());
            words.swap(at, other);
        }
        3 => words[at] = ODD[rng.below(ODD.len())].to_string(),
        4 => words.insert(at, format!(" {} ", ODD[rng.below(ODD.len())])),
        5 => words.truncate(at),
        // Another's end, or a word of another.
        6 => {
            let other = self::words(corpus[rng.below(corpus.len())]);
            words.splice(at.., other[rng.below(other.len())..].to_vec());
        }
        7 => {
            let other = self::words(corpus[rng.below(corpus.len())]);
            words[at] = other[rng.below(other.len())].clone();
        }
        // Nested, and the same again and again.
        8 => {
            let most = [3, 20, 120][rng.below(3)];
            let n = 1 + rng.below(most);
            let (open, close) = [
                ("(", ")"),
                ("[", "]"),
                ("case when ", " end"),
                ("cast(", " as int)"),
                ("(select ", ")"),
                ("not ", ""),
                ("- ", ""),
                ("{'a': ", "}"),
                ("f(", ")"),
                ("array<", ">"),
                ("/*", "*/"),
            ][rng.below(11)];
            words.insert(to, close.repeat(n));
            words.insert(at, open.repeat(n));
        }
        9 => {
            let most = [3, 50, 1000][rng.below(3)];
            let n = 1 + rng.below(most);
            let run = words[at..to].concat();
            words.insert(to, run.repeat(n.min(MAX_TEXT_BYTES / run.len().max(1))));
        }
        // What means nothing.
        10 => words.insert(at, ["/* x */", "--;\n", " ", "\n", "\r\n", "/* /* ' */ \" */"][rng.below(6)].to_string()),
        11 => words[at] = words[at].to_uppercase(),
        12 => {
            let mut characters: Vec<char> = words[at].chars().collect();
            let one = rng.below(characters.len().max(1));
            if let Some(character) = characters.get_mut(one) {
                *character = char::from_u32(*character as u32 ^ (1 << rng.below(8))).unwrap_or('?');
            }
            words[at] = characters.into_iter().collect();
        }
        _ => words[at] = format!("\"{}\"", words[at].replace('"', "")),
    }
}

/// A text in words, quoted ones whole, blanks and all else.
fn words(sql: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    for c in sql.chars() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let goes_on = quote.is_some() || (is_name(c) && words.last().is_some_and(|word| word.ends_with(is_name)));
        match words.last_mut() {
            Some(word) if goes_on => word.push(c),
            _ => words.push(c.to_string()),
        }
        if matches!(c, '\'' | '"') && quote.is_none_or(|q| q == c) {
            quote = if quote.is_some() { None } else { Some(c) };
        }
    }
    words
}
