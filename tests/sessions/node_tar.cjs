// Packs a folder into a gzip'd tar, or unpacks one, with node-tar:
//   node node_tar.cjs <where node-tar is> create|extract <folder> <archive>
const fs = require('node:fs')

const [module_, verb, cwd, file] = process.argv.slice(2)
const tar = require(module_)
const onwarn = (code, message) => console.error(code, message)

if (verb === 'create') {
  tar.create({ cwd, file, gzip: true, sync: true, onwarn }, fs.readdirSync(cwd).sort())
} else {
  tar.extract({ cwd, file, sync: true, onwarn })
}
