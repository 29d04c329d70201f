//! What is there afterwards, on the kernel and in the model, as text that must be the same.

use std::fmt::Write as _;

use replicator::host::PropertySource;
use zfs_core::Guid;
use zfs_core::Source;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::token::ResumeToken;

use super::Sequence;

impl Sequence<'_> {
    /// Notes that two GUIDs mean the same; fails if either means something else already.
    fn same(&mut self, real: Guid, model: Guid, what: &str) {
        let known = *self.guids.entry(real).or_insert(model);
        let twice = self.guids.values().filter(|guid| **guid == model).count();
        assert!(
            known == model && twice == 1,
            "{what} has another GUID than it should; LAB_SEED={}\n{}",
            self.seed,
            self.log
        );
    }

    pub(super) fn compare(&mut self) {
        let mut real = String::new();
        let mut pairs = Vec::new();
        for (pool, root) in self.pools.into_iter().zip(self.roots()) {
            // `written` says what is on the disks, which other sequences may keep busy after a file is closed.
            pool.zfs.sync(&pool.root()).expect("sync");
            let tree = pool.zfs.tree(&root).expect("list");
            let mut datasets: Vec<_> = tree.map(|dataset| dataset.expect("an entry")).collect();
            // The kernel's own order of siblings is that of a hash.
            datasets.sort_by(|a, b| a.name.components().cmp(b.name.components()));
            for dataset in datasets {
                let name = &dataset.name;
                let token: Option<ResumeToken> =
                    dataset.receive_resume_token().map(|token| token.parse().expect("a token"));
                let property = dataset.properties.get("org.x:p").map(|found| {
                    (found.text(), if found.source == Source::Local { "local" } else { "inherited" })
                });
                let modified = dataset.properties.number("written").expect("written") > 0;
                let _ = writeln!(
                    real,
                    "{name} {} origin {:?} inconsistent {} modified {} token {:?} property {property:?}",
                    dataset.kind,
                    dataset.origin.as_ref().map(SnapshotName::as_str),
                    dataset.inconsistent,
                    // Of a dataset that is not complete nobody relies on it.
                    modified && !dataset.inconsistent,
                    token.as_ref().map(|token| (
                        token.to_name.as_str(),
                        token.from_guid.is_some(),
                        token.raw
                    )),
                );
                let model = self.model.dataset(name);
                if let Some(model) = model {
                    pairs.push((dataset.guid, model.guid, name.to_string()));
                }
                let mut snapshots: Vec<_> =
                    pool.zfs.snapshots(name).expect("list").map(|snap| snap.expect("an entry")).collect();
                snapshots.sort_by_key(|snap| snap.createtxg);
                for snap in snapshots {
                    let mut holds: Vec<_> = pool
                        .zfs
                        .holds(&snap.name)
                        .expect("list")
                        .iter()
                        .map(|hold| hold.tag.to_str().unwrap_or_default().to_string())
                        .collect();
                    holds.sort();
                    let _ = writeln!(real, "  {} clones {} holds {holds:?}", snap.name, snap.clones);
                    if let Some(model) = self.model.find(&snap.name) {
                        pairs.push((snap.guid, model.guid, snap.name.to_string()));
                    }
                }
                let mut bookmarks = pool.zfs.bookmarks(name).expect("list");
                bookmarks.sort_by(|a, b| a.name.cmp(&b.name));
                for bookmark in bookmarks {
                    let _ = writeln!(real, "  {}", bookmark.name);
                    if let Some(model) = self.model.mark(&bookmark.name) {
                        pairs.push((bookmark.guid, model.guid, bookmark.name.to_string()));
                    }
                }
            }
        }
        let model = self.model_listing();
        let line = real.lines().zip(model.lines()).find(|(real, model)| real != model);
        assert!(
            real == model,
            "LAB_SEED={}\n{}\nfirst difference: {line:#?}\nthe kernel has\n{real}\nthe model has\n{model}",
            self.seed,
            self.log
        );
        for (real, model, what) in pairs {
            self.same(real, model, &what);
        }
    }

    /// The same text as of the kernel.
    fn model_listing(&self) -> String {
        let mut out = String::new();
        let mut names: Vec<_> =
            self.model.datasets().map(|(name, _)| name).filter(|name| name.depth() > 1).collect();
        let place =
            |name: &DatasetName| self.pools.iter().position(|pool| pool.root().as_str() == name.pool());
        names.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.components().cmp(b.components())));
        for name in names {
            let dataset = self.model.dataset(name).expect("there");
            let token: Option<ResumeToken> =
                self.model.token(name).map(|token| token.parse().expect("a token"));
            let property = self.model.property(name, "org.x:p").map(|found| {
                (found.value, if found.source == PropertySource::Local { "local" } else { "inherited" })
            });
            let _ = writeln!(
                out,
                "{name} {} origin {:?} inconsistent {} modified {} token {:?} property {property:?}",
                dataset.kind,
                self.model.origin(name).as_ref().map(SnapshotName::as_str),
                dataset.inconsistent,
                self.model.has_written(name) && !dataset.inconsistent,
                token.as_ref().map(|token| (token.to_name.as_str(), token.from_guid.is_some(), token.raw)),
            );
            for snap in &dataset.snapshots {
                let full = name.snapshot(&snap.short).expect("short");
                let holds: Vec<_> = snap.holds.iter().collect();
                let _ = writeln!(out, "  {full} clones {} holds {holds:?}", self.model.clones(&full));
            }
            for short in dataset.bookmarks.keys() {
                let _ = writeln!(out, "  {}", name.bookmark(short).expect("short"));
            }
        }
        out
    }
}
