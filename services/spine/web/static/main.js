import "./clock.js";
import "./live.js";
import "./act.js";
import "./log.js";
import "./bulk.js";
