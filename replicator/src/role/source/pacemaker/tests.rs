//! Canned answers by the schema that Pacemaker keeps, and each way in which they can fail.

use std::path::Path;

use super::super::super::testing::script;
use super::*;

fn names() -> Names {
    Names { here: "node1".to_string(), peer: "node2".to_string() }
}

const STATE: &str = r#"<pacemaker-result api-version="2.30" request="crm_mon --output-as=xml --inactive">
  <summary>
    <stack type="corosync" pacemakerd-state="running"/>
    <current_dc present="true" version="2.1.8" name="node2" id="2" with_quorum="true" mixed_version="false"/>
    <nodes_configured number="3"/>
    <resources_configured number="2" disabled="0" blocked="0"/>
    <cluster_options stonith-enabled="true" symmetric-cluster="true" no-quorum-policy="stop" maintenance-mode="false" stop-all-resources="false"/>
  </summary>
  <nodes>
    <node name="node1" id="1" online="true" standby="false" maintenance="false" pending="false" unclean="false" is_dc="false" type="member"/>
    <node name="node2" id="2" online="true" standby="false" maintenance="false" pending="false" unclean="false" is_dc="true" type="member"/>
    <node name="node3" id="3" online="true" standby="false" maintenance="false" pending="false" unclean="false" is_dc="false" type="member"/>
  </nodes>
  <resources>
    <resource id="fence" resource_agent="stonith:fence_x" role="Started" active="true" managed="true" failed="false" nodes_running_on="1">
      <node name="node3" id="3" cached="true"/>
    </resource>
    <group id="service" number_resources="2" managed="true" disabled="false">
      <resource id="nfs" resource_agent="ocf:heartbeat:nfsserver" role="Started" active="true" blocked="false" managed="true" failed="false" failure_ignored="false" nodes_running_on="1">
        <node name="node1" id="1" cached="true"/>
      </resource>
    </group>
  </resources>
  <status code="0" message="OK"/>
</pacemaker-result>"#;

const LOCATED: &str = r#"<pacemaker-result api-version="2.30" request="crm_resource --output-as=xml --locate --resource nfs">
  <nodes resource="nfs">
    <node>node1</node>
  </nodes>
  <status code="0" message="OK"/>
</pacemaker-result>"#;

/// A folder with both programs, which print a file each.
fn place(state: &str, located: &str) -> (tempfile::TempDir, Pacemaker) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = |name: &str, wanted: &str, text: &str| {
        std::fs::write(folder.path().join(format!("{name}.xml")), text).expect("written");
        let path = folder.path().join(name);
        let line = format!("#!/bin/sh\n[ \"$*\" = '{wanted}' ] || exit 64\ncat {}.xml\n", path.display());
        script(&path, &line);
        path
    };
    let mut source = Pacemaker::new("nfs".to_string(), names(), Duration::from_secs(30));
    source.crm_mon = program("crm_mon", "--output-as=xml --inactive", state);
    source.crm_resource = program("crm_resource", "--output-as=xml --locate --resource nfs", located);
    (folder, source)
}

fn observed(state: &str, located: &str) -> Reading {
    let (_folder, mut source) = place(state, located);
    let reading = source.observe(&Cancel::new());
    let glance = source.glance(&Cancel::new());
    // A glance knows what the first source knows.
    assert!(glance.quorum.agrees(&reading.quorum));
    assert!(reading.owner.known().is_none() || glance.owner == reading.owner, "{glance:?} {reading:?}");
    reading
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

const RUNS: &str = r#"role="Started" active="true" blocked="false" managed="true" failed="false" failure_ignored="false" nodes_running_on="1">
        <node name="node1" id="1" cached="true"/>"#;

#[test]
fn the_node_of_a_resource_and_the_majority_are_seen() {
    let good = Reading {
        owner: Seen::Known(Owner::Here),
        moving: Seen::Known(false),
        quorum: Seen::Known(Quorum::Quorate),
        ha: Seen::Known(Ha::Armed),
    };
    assert_eq!(observed(STATE, LOCATED), good);
    let there = changed(STATE, RUNS, &RUNS.replace("node1", "node2"));
    let reading = observed(&there, &LOCATED.replace("node1", "node2"));
    assert_eq!(reading, Reading { owner: Seen::Known(Owner::Node("node2".to_string())), ..good.clone() });
    let stopped = changed(
        STATE,
        RUNS,
        r#"role="Stopped" active="false" blocked="false" managed="true" failed="false" nodes_running_on="0">"#,
    );
    let reading = observed(&stopped, &changed(LOCATED, "<node>node1</node>", ""));
    assert_eq!(reading, Reading { owner: Seen::Known(Owner::Nowhere), ..good.clone() });
    let lost = observed(&changed(STATE, "with_quorum=\"true\"", "with_quorum=\"false\""), LOCATED);
    assert_eq!(lost, Reading { quorum: Seen::Known(Quorum::Lost), ..good.clone() });
    let disarmed = Reading { ha: Seen::Known(Ha::Disarmed), ..good.clone() };
    assert_eq!(
        observed(&changed(STATE, "maintenance-mode=\"false\"", "maintenance-mode=\"true\""), LOCATED),
        disarmed
    );
    let unmanaged = changed(STATE, RUNS, &RUNS.replace("managed=\"true\"", "managed=\"false\""));
    assert_eq!(observed(&unmanaged, LOCATED), disarmed);
    for moving in [
        RUNS.replace("Started", "Stopping"),
        RUNS.replace("failed=\"false\"", "failed=\"false\" pending=\"Migrating\""),
    ] {
        let reading = observed(&changed(STATE, RUNS, &moving), LOCATED);
        assert_eq!(reading, Reading { moving: Seen::Known(true), ..good.clone() });
    }
    let clone = format!(
        "<resource id=\"nfs\" {}\n</resource>\n<resource id=\"nfs\" {}\n</resource>",
        RUNS.replace("Started", "Promoted"),
        RUNS.replace("Started", "Unpromoted").replace("node1", "node2")
    );
    let group_from = STATE.find("<group").expect("there");
    let group_to = STATE.find("</group>").expect("there");
    let promotable =
        format!("{}<clone>{clone}</clone>{}", &STATE[..group_from], &STATE[group_to + "</group>".len()..]);
    let nodes =
        changed(LOCATED, "<node>node1</node>", "<node state=\"promoted\">node1</node><node>node2</node>");
    assert_eq!(observed(&promotable, &nodes), good);
}

#[test]
fn whatever_is_not_clear_is_not_known() {
    let cases = [
        (
            changed(STATE, "node name=\"node1\" id=\"1\" online", "node name=\"other\" id=\"1\" online"),
            LOCATED.to_string(),
            "lists no node node1",
        ),
        (changed(STATE, "id=\"nfs\"", "id=\"nfs2\""), LOCATED.to_string(), "lists no resource nfs"),
        (
            changed(STATE, "code=\"0\" message=\"OK\"", "code=\"102\" message=\"Not connected\""),
            LOCATED.to_string(),
            "Not connected",
        ),
        (STATE[..200].to_string(), LOCATED.to_string(), "no XML"),
        (String::new(), LOCATED.to_string(), "no XML"),
        (
            r#"<pacemaker-result><crm-mon-disconnected/><status code="0"/></pacemaker-result>"#.to_string(),
            LOCATED.to_string(),
            "not running here",
        ),
        (STATE.to_string(), changed(LOCATED, "node1", "node2"), "crm_resource says on node2"),
        (STATE.to_string(), changed(LOCATED, "code=\"0\"", "code=\"105\""), "crm_resource: it failed"),
        (
            changed(STATE, RUNS, &RUNS.replace("failed=\"false\"", "failed=\"true\"")),
            LOCATED.to_string(),
            "has failed",
        ),
        (
            changed(STATE, RUNS, &RUNS.replace("blocked=\"false\"", "blocked=\"true\"")),
            LOCATED.to_string(),
            "is blocked",
        ),
        (
            changed(STATE, RUNS, &format!("{RUNS}<node name=\"node2\" id=\"2\" cached=\"true\"/>")),
            LOCATED.to_string(),
            "more than one node: node1, node2",
        ),
        (STATE.replacen("unclean=\"false\"", "unclean=\"true\"", 1), LOCATED.to_string(), "to be fenced"),
    ];
    for (state, located, says) in cases {
        let reading = observed(&state, &located);
        assert!(reading.owner.why().is_some_and(|why| why.contains(says)), "{says}: {reading:?}");
    }
    let no_dc = STATE.replace("present=\"true\"", "present=\"false\"");
    assert!(observed(&no_dc, LOCATED).quorum.why().is_some_and(|why| why.contains("no coordinator")));
    let ignore = STATE.replace("\"stop\"", "\"ignore\"");
    assert!(observed(&ignore, LOCATED).ha.why().is_some_and(|why| why.contains("no-quorum-policy")));
}

#[test]
fn commands_that_fail_hang_or_are_missing_say_nothing() {
    let (folder, mut source) = place(STATE, LOCATED);
    let crm_mon = source.crm_mon.clone();
    let says = |text: &str| script(&crm_mon, &format!("#!/bin/sh\n{text}\n"));
    says("echo 'crm_mon: Connection to cluster failed: Connection refused' >&2; exit 102");
    let reading = source.observe(&Cancel::new());
    assert!(
        reading.quorum.why().is_some_and(|why| why.contains("status 102: crm_mon: Connection")),
        "{reading:?}"
    );
    assert!(reading.owner.known().is_none());
    says("sleep 1000");
    source.timeout = Duration::from_secs(1);
    assert!(source.glance(&Cancel::new()).owner.why().is_some_and(|why| why.contains("did not answer")));
    source.timeout = Duration::from_secs(30);
    source.crm_mon = Path::new("/no/such/program").to_path_buf();
    assert!(source.glance(&Cancel::new()).owner.why().is_some_and(|why| why.contains("cannot be started")));
    drop(folder);
}
