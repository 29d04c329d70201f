//! Properties: set, inherited, received, and read with where they come from.

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::Source;
use zfs_core::name::DatasetName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;

use crate::expect::fails;
use crate::pool::Pool;

fn read(pool: &Pool, name: &DatasetName, property: &str) -> Option<(String, Source)> {
    let dataset = pool.zfs.dataset(name).expect("read");
    dataset.properties.get(property).map(|found| (found.text(), found.source))
}

#[test]
fn value_is_local_then_inherited_then_default() {
    let pool = Pool::new();
    let (parent, child) = (pool.filesystem("p"), pool.filesystem("p/c"));
    let set =
        PropertySet::new().text("compression", "gzip-9").text("org.x:y", "one").number("recordsize", 65536);
    pool.zfs.set_properties(&parent, &set).expect("set");
    let from = Source::Inherited(parent.to_string());
    for (property, value) in [("compression", "gzip-9"), ("org.x:y", "one"), ("recordsize", "65536")] {
        assert_eq!(read(&pool, &parent, property), Some((value.to_owned(), Source::Local)));
        assert_eq!(read(&pool, &child, property), Some((value.to_owned(), from.clone())));
    }
    pool.zfs.set_properties(&child, &PropertySet::new().text("org.x:y", "two")).expect("set");
    assert_eq!(read(&pool, &child, "org.x:y"), Some(("two".into(), Source::Local)));
    pool.zfs.inherit_property(&child, "org.x:y").expect("inherit");
    assert_eq!(read(&pool, &child, "org.x:y"), Some(("one".into(), from)));
    pool.zfs.inherit_property(&parent, "org.x:y").expect("inherit");
    assert_eq!(read(&pool, &child, "org.x:y"), None);
    pool.zfs.inherit_property(&parent, "compression").expect("inherit");
    let found = read(&pool, &parent, "compression");
    assert!(found.as_ref().is_none_or(|(_, source)| *source == Source::Default), "{found:?}");
}

#[test]
fn received_value_comes_back_in_force() {
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let target = pool.dataset("b");
    let mut stream = pool.zfs.send(&SendRequest::full(one)).expect("send");
    let properties = PropertySet::new().text("compression", "zle").text("org.x:y", "sent");
    let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap("b@one")).received(&properties));
    std::io::copy(&mut stream, &mut receiver).expect("transfer");
    receiver.finish().expect("finish");
    assert_eq!(read(&pool, &target, "compression"), Some(("zle".into(), Source::Received)));
    assert_eq!(read(&pool, &target, "org.x:y"), Some(("sent".into(), Source::Received)));

    pool.zfs.set_properties(&target, &PropertySet::new().text("compression", "lz4")).expect("set");
    assert_eq!(read(&pool, &target, "compression"), Some(("lz4".into(), Source::Local)));
    pool.zfs.revert_property_to_received(&target, "compression").expect("revert");
    assert_eq!(read(&pool, &target, "compression"), Some(("zle".into(), Source::Received)));
    pool.zfs.inherit_property(&target, "compression").expect("inherit");
    let (_, source) = read(&pool, &target, "compression").unwrap_or(("default".into(), Source::Default));
    assert_eq!(source, Source::Default, "an explicit inherit hides the received value");
}

#[test]
fn setting_fails_by_property() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let set = |properties: &PropertySet| pool.zfs.set_properties(&name, properties);
    for (properties, property) in [
        (PropertySet::new().number("recordsize", 1000), "recordsize"),
        (PropertySet::new().number("compression", 9999), "compression"),
        (PropertySet::new().text("no-such-property", "1"), "no-such-property"),
        (PropertySet::new().number("used", 1), "used"),
        (PropertySet::new().text("utf8only", "on"), "utf8only"),
    ] {
        let error =
            fails(set(&properties), Operation::SetProperty, ErrorKind::InvalidProperty, name.as_str());
        assert!(error.to_string().contains(property), "{error}");
    }
    let long = PropertySet::new().text("org.x:y", "v".repeat(8192));
    fails(set(&long), Operation::SetProperty, ErrorKind::InvalidProperty, name.as_str());
    // Smaller than what is used already.
    let volume = pool.dataset("v");
    pool.zfs.create_volume(&volume, 8 << 20, &PropertySet::new()).expect("create");
    let odd = pool.zfs.set_properties(&volume, &PropertySet::new().number("volsize", 1001));
    fails(odd, Operation::SetProperty, ErrorKind::InvalidProperty, volume.as_str());

    let missing = pool.dataset("missing");
    let result = pool.zfs.set_properties(&missing, &PropertySet::new().text("org.x:y", "1"));
    fails(result, Operation::SetProperty, ErrorKind::NotFound, missing.as_str());
    let result = pool.zfs.inherit_property(&missing, "compression");
    fails(result, Operation::InheritProperty, ErrorKind::NotFound, missing.as_str());
    let result = pool.zfs.inherit_property(&name, "no-such-property");
    fails(result, Operation::InheritProperty, ErrorKind::InvalidProperty, name.as_str());
}

#[test]
fn good_properties_of_a_set_with_a_bad_one_are_as_documented() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    // More than the pool has, which only the pool can know.
    let mixed = PropertySet::new().text("org.x:good", "1").number("reservation", 1 << 50);
    let result = pool.zfs.set_properties(&name, &mixed);
    let error = fails(result, Operation::SetProperty, ErrorKind::NoSpace, name.as_str());
    assert_eq!(error.failures().iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["reservation"]);
    assert_eq!(read(&pool, &name, "org.x:good"), Some(("1".into(), Source::Local)));
}
