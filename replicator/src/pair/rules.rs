//! What a role leaves of the policies of a pair's datasets. Only the active node takes snapshots, as those of the other one
//! come with the streams; where it is not known who is active, nothing is pruned either.

use zfs_core::name::DatasetName;

use crate::role::Role;
use crate::survey::Survey;

/// Takes from the policies of a survey what the role of this node does not allow for the datasets of a pair.
pub fn restrict(survey: &mut Survey, roots: &[DatasetName], role: Role) {
    let of_pair = |dataset: &DatasetName| roots.iter().any(|root| dataset.is_within(root));
    let (takes, prunes) = match role {
        Role::Active => return,
        Role::Standby => (false, true),
        Role::Isolated | Role::Unknown => (false, false),
    };
    for effective in survey.resolved.datasets.values_mut() {
        if of_pair(&effective.dataset) {
            effective.policy.snapshot &= takes;
            effective.policy.prune &= prunes;
        }
        // Snapshots of a tree above that are taken in one would be taken of these as well.
        effective.together.retain(|dataset| !of_pair(dataset));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::dataset::Known;
    use crate::config::place::Source;

    const TEXT: &str = "
        [template.all]
        daily = 3
        [[dataset]]
        name = \"tank\"
        use = \"all\"
        recursive = \"atomic\"
        [[dataset]]
        name = \"data/nfs\"
        use = \"all\"
        recursive = true
    ";

    fn survey() -> Survey {
        let (config, problems) = Config::parse(&[Source::new(Path::new("r.toml"), TEXT)]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let names = ["tank", "tank/own", "tank/nfs", "tank/nfs/a", "tank/nfs2", "data/nfs", "data/nfs/a"];
        let known: Vec<_> = names
            .iter()
            .map(|name| Known { name: name.parse().expect("a name"), properties: BTreeMap::new() })
            .collect();
        Survey { resolved: config.policies.resolve(&known), ..Survey::default() }
    }

    /// Which datasets would get a snapshot, and which would be pruned.
    fn left(role: Role) -> (Vec<String>, Vec<String>) {
        let mut survey = survey();
        let roots = ["tank/nfs", "data/nfs"].map(|name| name.parse().expect("a name"));
        restrict(&mut survey, &roots, role);
        let all = survey.resolved.datasets.values();
        let mut taken: Vec<String> = all
            .clone()
            .filter(|one| one.policy.snapshot)
            .flat_map(|one| std::iter::once(&one.dataset).chain(&one.together))
            .map(ToString::to_string)
            .collect();
        taken.sort();
        taken.dedup();
        (taken, all.filter(|one| one.policy.prune).map(|one| one.dataset.to_string()).collect())
    }

    #[test]
    fn only_the_active_node_takes_and_nobody_prunes_in_the_dark() {
        let (all, pruned) = left(Role::Active);
        assert_eq!(all.len(), 7, "{all:?}");
        let others = ["tank", "tank/nfs2", "tank/own"].map(str::to_string).to_vec();
        let (taken, still) = left(Role::Standby);
        assert_eq!((taken, still), (others.clone(), pruned.clone()));
        for role in [Role::Isolated, Role::Unknown] {
            let (taken, still) = left(role);
            assert_eq!(taken, others, "{role}");
            let kept: Vec<_> = pruned
                .iter()
                .filter(|name| !name.contains("/nfs") || name.contains("nfs2"))
                .cloned()
                .collect();
            assert_eq!(still, kept, "{role}");
        }
    }
}
