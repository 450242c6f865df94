// Checks that Node.js is new enough and that dist/ was built, then runs the program there.
// biome-ignore-all lint/style/useNodejsImportProtocol: a Node.js too old for it must get as far as the message
'use strict';
var fs = require('fs');
var path = require('path');

module.exports = function launch(name) {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    console.error(name + ': needs Node.js 20 or newer; this is ' + process.version);
    process.exit(1);
  }
  var program = path.join(__dirname, '..', 'dist', name + '.cjs');
  if (!fs.existsSync(program)) {
    console.error(name + ': ' + program + ' is missing; run "npm ci" in ' + path.dirname(__dirname));
    process.exit(1);
  }
  require(program);
};
