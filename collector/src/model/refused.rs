//! Rows that more than one table refuses.

use super::*;

/// Two tables that refused a segment's only rows put them aside under one name, so that those of the first were lost.
#[test]
fn what_two_tables_refuse_is_put_aside_for_both() {
    let mut world = World::new();
    let post = world.post(Kind::Single);
    for table in [Table::Features, Table::Observations] {
        world.database.refuse_in(table, post.ids[0]);
    }
    world.round(vec![post]);
    world.process.as_mut().unwrap().writer.rotate(true);
    world.insert(1, &[]);
    let aside = world.disk.list(Path::new("/log/quarantine")).unwrap();
    let reasons = aside.iter().filter(|path| path.extension().is_some_and(|e| e == "reason"));
    let reasons = reasons.map(|path| String::from_utf8(world.disk.read(path).unwrap()).unwrap());
    let mut tables: Vec<String> =
        reasons.filter_map(|reason| Some(reason.split([' ', ',']).nth(1)?.to_owned())).collect();
    tables.sort();
    assert_eq!(tables, ["features", "observations"]);
}
