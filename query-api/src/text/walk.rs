//! Which texts an event has, and where they stand in it.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Anywhere in the event.
    Data,
    /// In the arguments of a tool call, their names included.
    Arguments,
    /// The name of a person: on whose behalf (`sub_id`), who approved, who owns.
    Principal,
}

impl Place {
    /// All places.
    pub(crate) const ALL: [Self; 3] = [Self::Data, Self::Arguments, Self::Principal];

    /// Its name in queries.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Data => "text",
            Self::Arguments => "args",
            Self::Principal => "principal",
        }
    }

    /// The place of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == name)
    }
}

/// Fields whose values name people.
const PEOPLE: [&str; 8] =
    ["sub_id", "principal", "approver", "approvers", "approved_by", "owner", "author", "principal_id"];
/// Deepest nesting that is followed; serde_json itself follows no deeper.
const DEPTH_MAX: usize = 128;

/// Calls `each` with every text of a JSON document, in order: strings, numbers, and the names of arguments. Names of
/// other fields are ours and no texts. A text that stands in a place of its own is told with that place, and counts for
/// [`Place::Data`] as well.
///
/// # Errors
/// When it is not JSON; what was told until then does not count.
pub(crate) fn walk(json: &str, each: &mut dyn FnMut(Place, &str)) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Walk { place: Place::Data, depth: 0, each }.deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Walk<'a> {
    place: Place,
    depth: usize,
    each: &'a mut dyn FnMut(Place, &str),
}

impl Walk<'_> {
    /// The place of what stands under a name.
    fn under(&self, name: &str) -> Place {
        match (self.place, name) {
            (Place::Data, "arguments") => Place::Arguments,
            (Place::Data, name) if PEOPLE.contains(&name) => Place::Principal,
            (place, _) => place,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.each)(self.place, text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        (self.each)(self.place, &number.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        (self.each)(self.place, &number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        (self.each)(self.place, &number.to_string());
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(A::Error::custom("nested too deeply"));
        }
        let (place, depth) = (self.place, self.depth + 1);
        while items.next_element_seed(Walk { place, depth, each: &mut *self.each })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(A::Error::custom("nested too deeply"));
        }
        // Borrowed names would be quicker, but a name with an escape cannot be borrowed.
        while let Some(name) = fields.next_key::<String>()? {
            if self.place == Place::Arguments {
                (self.each)(self.place, &name);
            }
            // Where a subject is described by format and id, the format names nobody.
            if self.place == Place::Principal && name == "format" {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = self.under(&name);
            fields.next_value_seed(Walk { place, depth: self.depth + 1, each: &mut *self.each })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<(Place, String)> {
        let mut all = Vec::new();
        walk(json, &mut |place, text| all.push((place, text.to_owned()))).unwrap();
        all
    }

    #[test]
    fn values_are_texts_and_names_only_within_arguments() {
        let json = r#"{"tool_call":{"name":"pay","arguments":{"to":"DE\u00379","amount":98.7,"ok":true}},
                       "sub_id":{"format":"opaque","id":"emma"},"task":{"id":"t-7"}}"#;
        let (data, arguments, principal) = (Place::Data, Place::Arguments, Place::Principal);
        let expected = [
            (data, "pay"),
            (arguments, "to"),
            (arguments, "DE79"),
            (arguments, "amount"),
            (arguments, "98.7"),
            (arguments, "ok"),
            (principal, "emma"),
            (data, "t-7"),
        ];
        assert_eq!(texts(json), expected.map(|(place, text)| (place, text.to_owned())));
    }

    #[test]
    fn what_is_not_json_or_nested_too_deeply_is_refused() {
        for bad in
            ["", "{", "[1,]", "{} {}", &"[".repeat(500), &format!("{}{}", "[".repeat(200), "]".repeat(200))]
        {
            assert!(walk(bad, &mut |_, _| {}).is_err(), "{bad}");
        }
    }
}
