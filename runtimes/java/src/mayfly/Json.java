package mayfly;

import java.lang.reflect.Array;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * JSON text to plain values and back. Plain values are Map, List, String, Boolean, null and numbers (Integer,
 * Long or BigInteger when whole, Double otherwise). The writer also takes arrays, enums, records, and objects
 * by their getters. Types of the handler are the matter of {@link Binder}.
 */
final class Json {
    /** Deeper documents than this would overflow the stack before they mean anything. */
    private static final int MAX_DEPTH = 500;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.space();
        if (json.at < text.length()) {
            throw json.bad("end of the document");
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > MAX_DEPTH) {
            throw bad("fewer than " + MAX_DEPTH + " levels");
        }
        space();
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> object = new LinkedHashMap<>();
        at++;
        space();
        if (took('}')) {
            return object;
        }
        do {
            space();
            String key = string();
            space();
            expect(':');
            object.put(key, value(depth + 1));
            space();
        } while (took(','));
        expect('}');
        return object;
    }

    private List<Object> array(int depth) {
        List<Object> array = new ArrayList<>();
        at++;
        space();
        if (took(']')) {
            return array;
        }
        do {
            array.add(value(depth + 1));
            space();
        } while (took(','));
        expect(']');
        return array;
    }

    private String string() {
        expect('"');
        StringBuilder out = new StringBuilder();
        while (true) {
            char c = peek();
            at++;
            if (c == '"') {
                return out.toString();
            }
            if (c < ' ') {
                throw bad("no control character in a string");
            }
            out.append(c == '\\' ? escaped() : c);
        }
    }

    private char escaped() {
        char c = peek();
        at++;
        int known = "\"\\/bfnrt".indexOf(c);
        if (known >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(known);
        }
        if (c != 'u' || at + 4 > text.length()) {
            throw bad("an escape");
        }
        int code = Integer.parseInt(text.substring(at, at + 4), 16);
        at += 4;
        return (char) code;
    }

    private Object number() {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(start, at);
        if (!digits.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            at = start;
            throw bad("a value");
        }
        if (!digits.matches("-?[0-9]+")) {
            return Double.valueOf(digits);
        }
        BigInteger whole = new BigInteger(digits);
        if (whole.bitLength() < 32) {
            return whole.intValue();
        }
        return whole.bitLength() < 64 ? (Object) whole.longValue() : whole;
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw bad("a value");
        }
        at += word.length();
        return value;
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw bad("more text");
        }
        return text.charAt(at);
    }

    private boolean took(char wanted) {
        boolean here = at < text.length() && text.charAt(at) == wanted;
        at += here ? 1 : 0;
        return here;
    }

    private void expect(char wanted) {
        if (!took(wanted)) {
            throw bad("'" + wanted + "'");
        }
    }

    private IllegalArgumentException bad(String expected) {
        return new IllegalArgumentException("not JSON: expected " + expected + " at character " + at);
    }

    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out, 0);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out, int depth) {
        if (depth > MAX_DEPTH) {
            String what = "the result has over " + MAX_DEPTH + " levels; does it hold itself?";
            throw new IllegalArgumentException(what);
        }
        if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Number number) {
            out.append(number instanceof BigDecimal decimal ? decimal.toPlainString() : finite(number));
        } else if (value instanceof CharSequence || value instanceof Character || value instanceof Enum<?>) {
            quote(value instanceof Enum<?> constant ? constant.name() : value.toString(), out);
        } else if (value instanceof java.util.Date date) {
            out.append(date.getTime());
        } else if (value instanceof java.time.temporal.TemporalAccessor || value instanceof java.util.UUID) {
            quote(value.toString(), out);
        } else if (value instanceof byte[] bytes) {
            quote(Base64.getEncoder().encodeToString(bytes), out);
        } else if (value instanceof Map<?, ?> map) {
            members(map, out, depth);
        } else if (value instanceof Iterable<?> items) {
            elements(items, out, depth);
        } else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) {
                items.add(Array.get(value, i));
            }
            elements(items, out, depth);
        } else {
            members(properties(value), out, depth);
        }
    }

    private static String finite(Number number) {
        double value = number.doubleValue();
        // JSON has no such numbers; they go as text, as Lambda's serializer writes them.
        return Double.isNaN(value) || Double.isInfinite(value) ? "\"" + number + "\"" : number.toString();
    }

    private static void members(Map<?, ?> map, StringBuilder out, int depth) {
        String separator = "{";
        for (Map.Entry<?, ?> member : map.entrySet()) {
            out.append(separator);
            quote(String.valueOf(member.getKey()), out);
            out.append(':');
            write(member.getValue(), out, depth + 1);
            separator = ",";
        }
        out.append(map.isEmpty() ? "{}" : "}");
    }

    private static void elements(Iterable<?> items, StringBuilder out, int depth) {
        out.append('[');
        String separator = "";
        for (Object item : items) {
            out.append(separator);
            write(item, out, depth + 1);
            separator = ",";
        }
        out.append(']');
    }

    /** A record's components in their order, or what the getters of an object answer, by name. */
    private static Map<String, Object> properties(Object value) {
        Map<String, Object> properties = value instanceof Record ? new LinkedHashMap<>() : new TreeMap<>();
        try {
            if (value instanceof Record) {
                for (var component : value.getClass().getRecordComponents()) {
                    component.getAccessor().setAccessible(true);
                    properties.put(component.getName(), component.getAccessor().invoke(value));
                }
                return properties;
            }
            for (Method method : value.getClass().getMethods()) {
                String name = Binder.propertyOf(method, "get", "is");
                boolean ours = method.getDeclaringClass() != Object.class && !method.isBridge();
                boolean getter = method.getParameterCount() == 0 && !Modifier.isStatic(method.getModifiers());
                if (name != null && ours && getter) {
                    method.setAccessible(true);
                    properties.put(name, method.invoke(value));
                }
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot read a " + value.getClass().getName(), error);
        }
        return properties;
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            int known = "\"\\\b\f\n\r\t".indexOf(c);
            if (known >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(known));
            } else if (c < ' ' || Character.isSurrogate(c) && !paired(text, i)) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    private static boolean paired(String text, int i) {
        return Character.isHighSurrogate(text.charAt(i))
                ? i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))
                : i > 0 && Character.isHighSurrogate(text.charAt(i - 1));
    }
}
