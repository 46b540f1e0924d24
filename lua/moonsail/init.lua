--- `require "moonsail"` outside a recipe: the library over what the settings and the environment say. A recipe gets
--- its own from its runner, over the runner's session.

return require("moonsail.library").new(require("moonsail.client.session").new())
