//! Names in what is a program's word where our proxy says it, and may be a person's where somebody else does: classes,
//! names of columns, clients, and texts that stand alone.

use super::{Masker, settle, withheld};
use crate::Withheld;
use crate::entity::{Entity, Hits};
use crate::naming::{self, Known, View};
use crate::recognize::Context;
use crate::text::{CLIENT, Given, WITHHELD};

impl Masker {
    /// Goes over a text that stands alone with what a model said of it.
    ///
    /// # Errors
    /// Where it may hold a name and there is no answer.
    pub fn mask_text_named(&self, text: &str, names: &Known) -> Result<(String, Hits), Withheld> {
        let given = names.view_of(text, &self.naming).of_key(text).map_err(withheld)?;
        Ok(self.mask_text_with(text, &given))
    }

    /// The same of a name, as [`Self::mask_name`].
    ///
    /// # Errors
    /// As there.
    pub fn mask_name_named(&self, name: &str, names: &Known) -> Result<(String, Hits), Withheld> {
        let given = names.view_of(name, &self.naming).of_key(name).map_err(withheld)?;
        let (mut masked, mut hits) = (name.to_owned(), Hits::default());
        self.name_with(&mut masked, &given, &mut hits);
        Ok((masked, hits))
    }

    /// What a client's name may have become under every configured key: what to look for to find its requests.
    #[must_use]
    pub fn client_tokens(&self, client: &str) -> Vec<String> {
        self.rules.keys.tokens(CLIENT, Entity::Custom, client)
    }

    /// Goes over a name in which a model found names.
    pub(super) fn name_with(&self, name: &mut String, given: &[Given], hits: &mut Hits) {
        if given.is_empty() {
            return self.name(name, hits);
        }
        settle(name, self.rules.mask(name, Context::NAME, given), hits);
    }

    /// Goes over a class, which of our proxy's is the model's own.
    pub(super) fn class(&self, class: &mut String, names: Option<&View<'_>>, hits: &mut Hits) {
        match names.filter(|names| names.strangers()).map_or(Ok(vec![]), |names| names.of_key(class)) {
            Ok(given) => self.name_with(class, &given, hits),
            Err(_) => WITHHELD.clone_into(class),
        }
    }

    /// Goes over the name of a feature, which of our proxy's is the model's own.
    pub(super) fn feature_name(&self, name: &mut String, names: Option<&View<'_>>, hits: &mut Hits) {
        let at = name.len() - naming::bare(name).len();
        match names.filter(|names| names.strangers()).map_or(Ok(vec![]), |names| names.of_key(&name[at..])) {
            Ok(mut given) => {
                given.iter_mut().for_each(|one| one.range = one.range.start + at..one.range.end + at);
                self.name_with(name, &given, hits);
            }
            Err(_) => name.replace_range(at.., WITHHELD),
        }
    }

    /// Goes over a client's name. It is a key: one that does not stay as it is becomes a token as a whole, where there is
    /// a key to make it with, so that two clients stay two and each can be found. Unlike a person's name, a key has its case.
    pub(super) fn client(&self, client: &mut String, names: Option<&View<'_>>, hits: &mut Hits) {
        let given = client.clone();
        self.word(client, names, hits);
        if *client != given
            && let Some(token) = self.rules.keys.token(CLIENT, Entity::Custom, &given)
        {
            *client = token;
        }
    }
}
