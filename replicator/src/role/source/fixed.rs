//! Always the same: for a pair that people switch by hand. Nobody is asked, so it proves nothing; that both nodes say
//! "here" is only noticed by their epochs.

use super::super::Role;
use super::super::decide::Names;
use super::super::observation::Owner;
use super::super::observation::Reading;
use super::super::observation::Seen;
use super::Source;
use crate::cancel::Cancel;

/// What the configuration says.
pub(super) struct Fixed {
    owner: Seen<Owner>,
}

impl Fixed {
    pub(super) fn new(role: Role, names: Names) -> Self {
        let owner = match role {
            Role::Active => Seen::Known(Owner::Here),
            Role::Standby => Seen::Known(Owner::Node(names.peer)),
            Role::Isolated | Role::Unknown => Seen::unknown(format!("the configuration says {role}")),
        };
        Self { owner }
    }
}

impl Source for Fixed {
    fn observe(&mut self, _cancel: &Cancel) -> Reading {
        Reading::of_owner(self.owner.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_configuration_says() {
        let names = Names { here: "a".to_string(), peer: "b".to_string() };
        let owner = |role| Fixed::new(role, names.clone()).observe(&Cancel::new()).owner;
        assert_eq!(owner(Role::Active), Seen::Known(Owner::Here));
        assert_eq!(owner(Role::Standby), Seen::Known(Owner::Node("b".to_string())));
        assert!(owner(Role::Unknown).known().is_none() && owner(Role::Isolated).known().is_none());
    }
}
