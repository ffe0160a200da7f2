// What is dropped on the page as folders and files: the browser's entries stand in for a disk.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chosenFiles, droppedFiles, modelAmong } from '../../page/src/dropped.js';
import { folderOf } from '../../page/src/worker/folder.js';

const file = (name: string) => new File(['x'], name);

type Tree = { readonly [name: string]: Tree | File };

/** Entries as browsers give them: those of a folder in parts of two. */
function entryOf(name: string, content: Tree | File, above = ''): FileSystemEntry {
  const fullPath = `${above}/${name}`;
  if (content instanceof File)
    return {
      ...{ name, fullPath, isFile: true, isDirectory: false },
      file: (done: (own: File) => void) => done(content),
    } as unknown as FileSystemEntry;
  const rest = Object.entries(content).map(([own, inner]) => entryOf(own, inner, fullPath));
  return {
    ...{ name, fullPath, isFile: false, isDirectory: true },
    createReader: () => ({ readEntries: (done: (part: unknown[]) => void) => done(rest.splice(0, 2)) }),
  } as unknown as FileSystemEntry;
}

function transfer(tree: Tree): DataTransfer {
  const entries = Object.entries(tree).map(([name, content]) => entryOf(name, content));
  return {
    items: entries.map((entry) => ({ kind: 'file', webkitGetAsEntry: () => entry })),
    files: Object.values(tree).map((content) => (content instanceof File ? content : file('folder'))),
  } as unknown as DataTransfer;
}

const pets = {
  cat: { '2.png': file('2.png'), '1.png': file('1.png'), '.hidden': file('.hidden') },
  dog: { '3.png': file('3.png') },
  '.cache': { 'x.png': file('x.png') },
};

test('folders are dropped with all that is in them, and a model beside them', async () => {
  const files = await droppedFiles(transfer({ pets, 'model.h5': file('model.h5') }));
  assert.equal(files.map(({ path }) => path).sort(), [
    'model.h5',
    'pets/.cache/x.png',
    'pets/cat/.hidden',
    'pets/cat/1.png',
    'pets/cat/2.png',
    'pets/dog/3.png',
  ]);
  const { model, data } = modelAmong(files);
  assert.is(model?.name, 'model.h5');
  assert.is(data.length, 5);
  assert.not.ok(modelAmong([{ path: 'folder/model.h5', file: file('model.h5') }]).model);
});

test('files without a folder keep their names, whatever the browser says of entries', async () => {
  const given = { items: [], files: [file('a.npy'), file('b.npy')] } as unknown as DataTransfer;
  assert.equal(
    (await droppedFiles(given)).map(({ path }) => path),
    ['a.npy', 'b.npy'],
  );
  const chosen = Object.assign(file('1.png'), { webkitRelativePath: 'pets/cat/1.png' });
  assert.equal(
    chosenFiles([chosen, file('y.npy')] as unknown as FileList).map(({ path }) => path),
    ['pets/cat/1.png', 'y.npy'],
  );
  assert.equal(chosenFiles(null), []);
});

test('paths become folders, in the order of names; hidden ones are left out', async () => {
  const files = await droppedFiles(transfer({ pets }));
  const folder = folderOf('pets', files, 1);
  assert.equal([folder.path, folder.name, folder.files.length], ['pets', 'pets', 0]);
  assert.equal(
    folder.folders.map(({ name, path, files: own }) => [name, path, own.map((one) => one.name)]),
    [
      ['cat', 'pets/cat', ['pets/cat/.hidden', 'pets/cat/1.png', 'pets/cat/2.png']],
      ['dog', 'pets/dog', ['pets/dog/3.png']],
    ],
  );
});

test.run();
