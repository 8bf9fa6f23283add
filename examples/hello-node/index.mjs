export async function handler(event) {
  const name = event.queryStringParameters?.name ?? 'world';
  console.log('greeting', name);
  return { message: `Hello, ${name}!` };
}
