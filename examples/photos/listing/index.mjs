// Lists the pictures whose thumbnails exist, the newest first.

import { list } from './s3.mjs';

const SHOWN = 200;

export async function handler() {
  const thumbs = await list(process.env.BUCKET, 'thumbs/');
  const photos = thumbs
    .reverse()
    .slice(0, SHOWN)
    .map(({ key, size, modified }) => {
      const name = key.slice('thumbs/'.length);
      const encoded = encodeURIComponent(name);
      return {
        name,
        thumb: `thumbs/${encoded}`,
        original: `originals/${encoded}`,
        bytes: size,
        at: modified,
      };
    });
  console.log('listed %d of %d pictures', photos.length, thumbs.length);
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({ photos }),
  };
}
