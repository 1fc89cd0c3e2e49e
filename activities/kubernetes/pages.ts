/** One page of a list, as the API server gives it. */
interface Page<T> {
  items: T[];
  metadata?: { _continue?: string };
}

/** So many objects of a list are asked for at a time. */
const pageSize = 500;

/** Reads a list page by page. @param read reads the page that begins at a token; undefined where there is no such list. */
export async function allPages<T>(
  read: (limit: number, from: string | undefined) => Promise<Page<T> | undefined>
): Promise<T[]> {
  const found: T[] = [];
  let from: string | undefined;
  do {
    const page = await read(pageSize, from);
    found.push(...(page?.items ?? []));
    from = page?.metadata?._continue;
  } while (from !== undefined && from !== '');
  return found;
}
