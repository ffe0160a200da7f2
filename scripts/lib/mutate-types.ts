// Which mutants the type check refuses: such a fault never gets as far as a test.
import path from 'node:path';
import ts from 'typescript';
import { root } from './project.js';

/** Tells whether a source that is to stand for the file `name` has errors of type that the file has not. */
export function typeChecker(): (name: string, source: string) => boolean {
  const configFile = path.join(root, 'tsconfig.json');
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(configFile, ts.sys.readFile).config,
    ts.sys,
    root,
  );
  let changed = { file: '', source: '', version: 0 };
  let files: string[] = [];
  const host: ts.LanguageServiceHost = {
    getCompilationSettings: () => options,
    getScriptFileNames: () => files,
    getScriptVersion: (file) => (file === changed.file ? String(changed.version) : '0'),
    getScriptSnapshot: (file) => {
      const text = file === changed.file ? changed.source : ts.sys.readFile(file);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    getCurrentDirectory: () => root,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  };
  const service = ts.createLanguageService(host);
  return (name, source) => {
    const file = path.join(root, name);
    if (!files.includes(file)) files = [...files, file];
    changed = { file, source, version: changed.version + 1 };
    return [...service.getSyntacticDiagnostics(file), ...service.getSemanticDiagnostics(file)].length > 0;
  };
}
