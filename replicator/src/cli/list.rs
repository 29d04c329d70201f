//! `replicator list`.

use std::io::BufWriter;
use std::io::Write;

use serde_json::Value;
use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::format;
use crate::codes::Code;

/// List filesystems, volumes, snapshots and bookmarks of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The datasets to list; all pools when none is given.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Also everything below them.
    #[arg(short, long)]
    recursive: bool,

    /// What to list.
    #[arg(short, long = "type", value_enum, value_delimiter = ',', default_values_t = [Kind::Filesystem, Kind::Volume])]
    types: Vec<Kind>,

    /// The fields of each line. `used`, `referenced` and `written` are in bytes with -H and --json.
    #[arg(short = 'o', long = "output", value_enum, value_delimiter = ',', value_name = "FIELD,…")]
    fields: Vec<Field>,

    /// Without header, fields separated by one tab, numbers in full: for scripts.
    #[arg(short = 'H', long)]
    script: bool,

    /// As JSON, one object a line, in full.
    #[arg(long, conflicts_with = "script")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator list
  replicator list -r tank --type snapshot,bookmark
  replicator list -H -o name,guid,createtxg --type snapshot tank/data";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Filesystem,
    Volume,
    Snapshot,
    Bookmark,
    /// All of these.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Field {
    Name,
    Type,
    Guid,
    Createtxg,
    Creation,
    Used,
    Referenced,
    Written,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Type => "type",
            Self::Guid => "guid",
            Self::Createtxg => "createtxg",
            Self::Creation => "creation",
            Self::Used => "used",
            Self::Referenced => "referenced",
            Self::Written => "written",
        }
    }

    /// Fields that need all properties of a snapshot, which takes longer.
    fn needs_properties(self) -> bool {
        matches!(self, Self::Creation | Self::Used | Self::Referenced | Self::Written)
    }
}

/// One line.
struct Row {
    name: String,
    kind: &'static str,
    guid: u64,
    createtxg: u64,
    creation: Option<u64>,
    used: Option<u64>,
    referenced: Option<u64>,
    written: Option<u64>,
}

impl Row {
    fn number(&self, field: Field) -> Option<u64> {
        match field {
            Field::Guid => Some(self.guid),
            Field::Createtxg => Some(self.createtxg),
            Field::Creation => self.creation,
            Field::Used => self.used,
            Field::Referenced => self.referenced,
            Field::Written => self.written,
            Field::Name | Field::Type => None,
        }
    }

    /// For scripts: numbers in full, `-` where there is none.
    fn plain(&self, field: Field) -> String {
        match field {
            Field::Name => self.name.clone(),
            Field::Type => self.kind.to_string(),
            field => self.number(field).map_or_else(|| "-".to_string(), |number| number.to_string()),
        }
    }

    /// For people.
    fn pretty(&self, field: Field) -> String {
        match (field, self.number(field)) {
            (Field::Creation, Some(seconds)) => format::time(seconds),
            (Field::Used | Field::Referenced | Field::Written, Some(bytes)) => format::bytes(bytes),
            _ => self.plain(field),
        }
    }

    fn json(&self, fields: &[Field]) -> Value {
        let mut object = serde_json::Map::new();
        for field in fields {
            let value = match field {
                Field::Name => json!(self.name),
                Field::Type => json!(self.kind),
                // As strings: many readers of JSON keep numbers in 53 bits.
                Field::Guid | Field::Createtxg => json!(self.plain(*field)),
                field => json!(self.number(*field)),
            };
            object.insert(field.name().to_string(), value);
        }
        Value::Object(object)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut roots = Vec::new();
    for name in &arguments.datasets {
        let name = DatasetName::try_from(name.as_str());
        roots.push(name.map_err(|error| Failure::new(Code::Endpoint, error.to_string()))?);
    }
    let zfs = Zfs::open()?;
    let recursive = arguments.recursive || roots.is_empty();
    if roots.is_empty() {
        roots = zfs.pools()?;
    }
    let fields = arguments.fields();
    let mut output = Output::new(arguments, fields.clone());
    for root in &roots {
        if recursive {
            for dataset in zfs.tree(root)? {
                rows_of(&zfs, &dataset?, arguments, &fields, &mut output)?;
            }
        } else {
            rows_of(&zfs, &zfs.dataset(root)?, arguments, &fields, &mut output)?;
        }
    }
    output.finish()?;
    Ok(Outcome::Success)
}

impl Arguments {
    fn wants(&self, kind: Kind) -> bool {
        self.types.contains(&kind) || self.types.contains(&Kind::All)
    }

    fn fields(&self) -> Vec<Field> {
        if !self.fields.is_empty() {
            return self.fields.clone();
        }
        if self.wants(Kind::Snapshot) || self.wants(Kind::Bookmark) {
            vec![Field::Name, Field::Creation, Field::Used, Field::Referenced, Field::Guid]
        } else {
            vec![Field::Name, Field::Type, Field::Used, Field::Referenced, Field::Written]
        }
    }
}

/// A dataset, its snapshots and its bookmarks, as far as they are wanted. Snapshots in the order they were taken.
fn rows_of(
    zfs: &Zfs,
    dataset: &zfs_core::Dataset,
    arguments: &Arguments,
    fields: &[Field],
    output: &mut Output,
) -> Result<(), Failure> {
    let kind = match dataset.kind {
        zfs_core::DatasetKind::Filesystem => Kind::Filesystem,
        zfs_core::DatasetKind::Volume => Kind::Volume,
    };
    if arguments.wants(kind) {
        let number = |name| dataset.properties.number(name);
        output.row(&Row {
            name: dataset.name.to_string(),
            kind: if kind == Kind::Volume { "volume" } else { "filesystem" },
            guid: dataset.guid.0,
            createtxg: dataset.createtxg.0,
            creation: number("creation"),
            used: number("used"),
            referenced: number("referenced"),
            written: number("written"),
        })?;
    }
    if arguments.wants(Kind::Snapshot) {
        let mut rows = Vec::new();
        if fields.iter().any(|field| field.needs_properties()) {
            let wanted = ["creation", "used", "referenced", "written"];
            for found in zfs.snapshots_with_numbers(&dataset.name, wanted)? {
                let (snapshot, [creation, used, referenced, written]) = found?;
                rows.push(Row { creation, used, referenced, written, ..snapshot_row(&snapshot) });
            }
        } else {
            for snapshot in zfs.snapshots(&dataset.name)? {
                rows.push(snapshot_row(&snapshot?));
            }
        }
        rows.sort_by_key(|row| row.createtxg);
        rows.iter().try_for_each(|row| output.row(row))?;
    }
    if arguments.wants(Kind::Bookmark) {
        let mut bookmarks = zfs.bookmarks(&dataset.name)?;
        bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        for bookmark in bookmarks {
            output.row(&Row {
                name: bookmark.name.to_string(),
                kind: "bookmark",
                guid: bookmark.guid.0,
                createtxg: bookmark.createtxg.0,
                creation: Some(bookmark.creation),
                used: None,
                referenced: None,
                written: None,
            })?;
        }
    }
    Ok(())
}

fn snapshot_row(snapshot: &zfs_core::Snapshot) -> Row {
    Row {
        name: snapshot.name.to_string(),
        kind: "snapshot",
        guid: snapshot.guid.0,
        createtxg: snapshot.createtxg.0,
        creation: None,
        used: None,
        referenced: None,
        written: None,
    }
}

/// Where rows go: straight out for machines, into a table for people.
struct Output {
    fields: Vec<Field>,
    json: bool,
    out: BufWriter<std::io::Stdout>,
    table: Option<comfy_table::Table>,
}

impl Output {
    fn new(arguments: &Arguments, fields: Vec<Field>) -> Self {
        let table = (!arguments.json && !arguments.script).then(|| {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(fields.iter().map(|field| field.name().to_uppercase()));
            for (column, field) in table.column_iter_mut().zip(&fields) {
                column.set_padding((0, 2));
                if !matches!(field, Field::Name | Field::Type | Field::Creation) {
                    column.set_cell_alignment(comfy_table::CellAlignment::Right);
                }
            }
            table
        });
        Self { fields, json: arguments.json, out: BufWriter::new(std::io::stdout()), table }
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        if let Some(table) = &mut self.table {
            table.add_row(self.fields.iter().map(|field| row.pretty(*field)));
        } else if self.json {
            writeln!(self.out, "{}", row.json(&self.fields))?;
        } else {
            let cells: Vec<_> = self.fields.iter().map(|field| row.plain(*field)).collect();
            writeln!(self.out, "{}", cells.join("\t"))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        if let Some(table) = &self.table {
            for line in table.lines() {
                writeln!(self.out, "{}", line.trim_end())?;
            }
        }
        self.out.flush()?;
        Ok(())
    }
}
