--- The types of action that the engine runs. Each is a table of
---   keys   what it has in buddy.yml beside the common keys, as shape.map wants them
---   settle function(check, node, path, action), if there is more to check than each key alone
---   run    function(context): "SUCCESSFUL" | "FAILED" | "TERMINATED", and for a failure why, for people
return {
  BUILD = require "moonsail.engine.action.build",
  CLEAR_CACHE = require "moonsail.engine.action.clear_cache",
  COPY_FILES = require "moonsail.engine.action.copy_files",
  HTTP = require "moonsail.engine.action.http",
  NATIVE_BUILD_LINUX = require "moonsail.engine.action.native_build_linux",
  REPLACE = require "moonsail.engine.action.replace",
  RUN_NEXT_PIPELINE = require "moonsail.engine.action.run_next_pipeline",
  SET_VARIABLES = require "moonsail.engine.action.set_variables",
  SLEEP = require "moonsail.engine.action.sleep",
  TCP = require "moonsail.engine.action.tcp",
  WAIT_FOR_APPLY = require "moonsail.engine.action.wait_for_apply",
  WAIT_FOR_VARIABLES = require "moonsail.engine.action.wait_for_variables",
  WEB = require "moonsail.engine.action.web",
  ZIP = require "moonsail.engine.action.zip",
}
