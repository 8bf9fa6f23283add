package shop;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** A handler without any library: a record in, a map out. */
public class Hello {
    private int calls;

    public record Order(String name, int count) {}

    public Map<String, Object> handleRequest(Order order) throws Exception {
        System.out.println("java takes an order of " + order.name());
        if (order.count() < 0) {
            throw new IllegalArgumentException("count must not be negative");
        }
        calls++;
        return Map.of("name", order.name(), "total", order.count() * 2, "calls", calls,
                "java", Runtime.version().feature(),
                "shadow", Files.exists(Path.of("/etc/shadow")),
                "layer", Files.exists(Path.of("/opt/java/lib")),
                "archived", Files.readString(Path.of("/proc/self/maps")).contains("/loaded.jsa"),
                "resource", String.valueOf(Hello.class.getResource("/shop/words.txt")));
    }
}
