--- The types of action that the engine runs. Each is a table of
---   keys   what it has in buddy.yml beside the common keys, as shape.map wants them
---   run    function(context): "SUCCESSFUL" | "FAILED" | "TERMINATED", and for a failure why, for people
return {
  BUILD = require "moonsail.engine.action.build",
  SLEEP = require "moonsail.engine.action.sleep",
}
