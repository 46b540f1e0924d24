--- The types of action that the engine runs. Each is a table of
---   keys   what it has in buddy.yml beside the common keys, as shape.map wants them
---   run    function(context): "SUCCESSFUL" | "FAILED" | "TERMINATED", and for a failure why, for people
return {
  BUILD = require "moonsail.engine.action.build",
  SET_VARIABLES = require "moonsail.engine.action.set_variables",
  SLEEP = require "moonsail.engine.action.sleep",
  WAIT_FOR_APPLY = require "moonsail.engine.action.wait_for_apply",
  WAIT_FOR_VARIABLES = require "moonsail.engine.action.wait_for_variables",
}
